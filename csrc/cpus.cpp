#include "cpus.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include "dispatch.hpp"

#if defined(__linux__)
#include <sched.h>
#endif

namespace posert {
namespace {

constexpr double kNoLimit = 0;

// cgroup v2: "max 100000" or "150000 100000", quota and period in microseconds.
double read_cpu_max(const std::string& folder) {
    std::ifstream file(folder + "/cpu.max");
    std::string quota;
    double period = 0;
    if (!(file >> quota >> period) || quota == "max" || period <= 0) return kNoLimit;
    double microseconds = kNoLimit;
    std::istringstream(quota) >> microseconds;
    return microseconds > 0 ? microseconds / period : kNoLimit;
}

// cgroup v1: the quota is -1 where there is none.
double read_cfs_quota(const std::string& folder) {
    std::ifstream quota_file(folder + "/cpu.cfs_quota_us"), period_file(folder + "/cpu.cfs_period_us");
    double quota = 0, period = 0;
    if (!(quota_file >> quota) || !(period_file >> period) || quota <= 0 || period <= 0) return kNoLimit;
    return quota / period;
}

// The tightest limit of a cgroup and all its parents. Inside a container the path may name folders that are not
// mounted; their parents are.
template <typename Read>
double tightest(const std::string& mount, std::string path, Read read) {
    double limit = kNoLimit;
    while (true) {
        const double here = read(mount + path);
        if (here > 0 && (limit == kNoLimit || here < limit)) limit = here;
        if (path.empty()) return limit;
        path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
    }
}

// Whether a comma-separated list of cgroup v1 controllers holds "cpu".
bool has_cpu(const std::string& controllers) {
    std::istringstream stream(controllers);
    for (std::string name; std::getline(stream, name, ',');) {
        if (name == "cpu") return true;
    }
    return false;
}

}  // namespace

int affinity_cpus() {
#if defined(__linux__)
    // Machines with more CPUs than a mask holds make the call fail: try a larger one.
    for (std::size_t sets = 1; sets <= 64; sets *= 2) {
        std::vector<cpu_set_t> mask(sets);
        const std::size_t bytes = sets * sizeof(cpu_set_t);
        if (sched_getaffinity(0, bytes, mask.data()) == 0) return std::max(1, CPU_COUNT_S(bytes, mask.data()));
    }
#endif
    return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

int quota_cpus(const std::string& root) {
    std::ifstream file(root + "/proc/self/cgroup");
    double limit = kNoLimit;
    for (std::string line; std::getline(file, line);) {
        // "0::/path" (v2) or "4:cpu,cpuacct:/path" (v1)
        const std::size_t first = line.find(':'), second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        std::string path = line.substr(second + 1);
        if (path == "/") path.clear();
        double here = kNoLimit;
        if (controllers.empty()) {
            here = tightest(root + "/sys/fs/cgroup", path, read_cpu_max);
        } else if (has_cpu(controllers)) {
            here = tightest(root + "/sys/fs/cgroup/" + controllers, path, read_cfs_quota);
            if (here == kNoLimit) here = tightest(root + "/sys/fs/cgroup/cpu", path, read_cfs_quota);
        }
        if (here > 0 && (limit == kNoLimit || here < limit)) limit = here;
    }
    return static_cast<int>(std::min(std::ceil(limit), 65536.0));
}

int available_cpus(const std::string& root) {
    const int quota = quota_cpus(root);
    return quota > 0 ? std::min(quota, affinity_cpus()) : affinity_cpus();
}

const char* instruction_set() {
#if POSERT_HAS_CLONES
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd")) {
        return "x86-64-v4 (AVX-512)";
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2")) {
        return "x86-64-v3 (AVX2)";
    }
    return "x86-64 (baseline)";
#else
    return "the compiler's baseline";
#endif
}

}  // namespace posert
