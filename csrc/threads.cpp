#include "threads.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "cpus.hpp"

#if defined(_WIN32)
#include <process.h>
#else
#include <unistd.h>
#endif

namespace posert {
namespace {

using Body = std::function<void(std::int64_t, std::int64_t)>;

long process_id() {
#if defined(_WIN32)
    return _getpid();
#else
    return getpid();
#endif
}

struct Job {
    const Body& body;
    std::int64_t count;
    std::int64_t chunk;
    std::atomic<std::int64_t> next{0};
    std::atomic<bool> failed{false};
    std::exception_ptr error{};

    void work() {
        while (!failed.load(std::memory_order_relaxed)) {
            const std::int64_t begin = next.fetch_add(chunk, std::memory_order_relaxed);
            if (begin >= count) return;
            try {
                body(begin, std::min(begin + chunk, count));
            } catch (...) {
                if (!failed.exchange(true)) error = std::current_exception();
            }
        }
    }
};

class Pool {
  public:
    const long process = process_id();

    bool try_acquire() { return !busy_.test_and_set(std::memory_order_acquire); }
    void release() { busy_.clear(std::memory_order_release); }

    // Runs a job on the caller and up to `helpers` more threads. Only the caller that acquired the pool may call this.
    void run(Job& job, int helpers) {
        grow(helpers);
        {
            const std::lock_guard lock(mutex_);
            job_ = &job;
            seats_ = std::min<int>(helpers, static_cast<int>(workers_.size()));
        }
        wake_.notify_all();
        job.work();
        std::unique_lock lock(mutex_);
        seats_ = 0;
        idle_.wait(lock, [this] { return active_ == 0; });
        job_ = nullptr;
    }

  private:
    void grow(int helpers) {
        try {
            while (static_cast<int>(workers_.size()) < helpers) workers_.emplace_back([this] { serve(); });
        } catch (const std::system_error&) {
            // The system gives no more threads: those that there are do the work.
        }
    }

    [[noreturn]] void serve() {
        std::unique_lock lock(mutex_);
        while (true) {
            wake_.wait(lock, [this] { return seats_ > 0; });
            --seats_;
            ++active_;
            Job& job = *job_;
            lock.unlock();
            job.work();
            lock.lock();
            if (--active_ == 0) idle_.notify_one();
        }
    }

    std::atomic_flag busy_ = ATOMIC_FLAG_INIT;
    std::mutex mutex_;
    std::condition_variable wake_, idle_;
    std::vector<std::thread> workers_;
    Job* job_ = nullptr;
    int seats_ = 0;
    int active_ = 0;
};

std::atomic<int> thread_count{0};
std::atomic<Pool*> shared_pool{nullptr};

// The pool of this process. It is never destroyed: its threads wait until the process ends. After a fork the parent's
// pool is left behind (its threads do not exist in the child, its locks may be held), which is why this uses no lock.
Pool& pool() {
    Pool* current = shared_pool.load(std::memory_order_acquire);
    if (current != nullptr && current->process == process_id()) return *current;
    auto fresh = std::make_unique<Pool>();
    if (shared_pool.compare_exchange_strong(current, fresh.get(), std::memory_order_acq_rel)) return *fresh.release();
    return *current;
}

}  // namespace

int get_num_threads() {
    int count = thread_count.load(std::memory_order_relaxed);
    if (count > 0) return count;
    const int available = available_cpus();
    // Keeps what another thread may have set meanwhile.
    return thread_count.compare_exchange_strong(count, available) ? available : count;
}

void set_num_threads(int count) {
    thread_count.store(std::max(count, 1), std::memory_order_relaxed);
}

void parallel_for(std::int64_t count, std::int64_t grain, const Body& body) {
    if (count <= 0) return;
    grain = std::max<std::int64_t>(grain, 1);
    const std::int64_t threads = std::min<std::int64_t>(get_num_threads(), (count + grain - 1) / grain);
    Pool& shared = pool();
    if (threads <= 1 || !shared.try_acquire()) {
        body(0, count);
        return;
    }
    const std::unique_ptr<Pool, void (*)(Pool*)> release(&shared, [](Pool* acquired) { acquired->release(); });
    // Several chunks a thread, so that one slow thread does not keep the others waiting.
    Job job{body, count, std::max(grain, (count + threads * 4 - 1) / (threads * 4))};
    shared.run(job, static_cast<int>(threads) - 1);
    if (job.error) std::rethrow_exception(job.error);
}

}  // namespace posert
