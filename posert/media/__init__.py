"""Reading and writing pictures, and writing files so that nobody ever sees half of one."""
