// A small pool of threads that the kernels share.
#pragma once

#include <cstdint>
#include <functional>

namespace posert {

// Threads that one parallel_for may use, the caller included. Default: available_cpus().
int get_num_threads();
void set_num_threads(int count);

// Calls body(begin, end) for ranges that together cover [0, count) once, each of at least `grain` items but the last.
//
// Starts no thread before there is work for two. Runs in the calling thread alone if the pool is in use (by another
// caller, or by a body further up the stack). An exception in a body is thrown here once all bodies that run have
// returned; those not begun are dropped. A forked child gets a pool of its own.
void parallel_for(std::int64_t count, std::int64_t grain, const std::function<void(std::int64_t, std::int64_t)>& body);

}  // namespace posert
