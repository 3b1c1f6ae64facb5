// How many CPUs this process may use.
#pragma once

#include <string>

namespace posert {

// CPUs in the affinity mask of the calling thread; at least 1.
int affinity_cpus();

// CPU quota of the process's cgroup (v1 or v2, the tightest of it and its parents), rounded up; 0 where there is none.
// `root` is put before /proc and /sys, so that tests can bring a tree of their own.
int quota_cpus(const std::string& root = "");

// min(affinity, quota); at least 1.
int available_cpus(const std::string& root = "");

// The instruction set that the kernels run with, as words for people.
const char* instruction_set();

}  // namespace posert
