"""Reading and writing pictures and videos, and writing files so that nobody ever sees half of one."""
