// The thread pool without Python: every item once, exceptions carried over, nested and concurrent calls, any thread
// count.

#include "threads.hpp"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using posert::parallel_for;

#define EXPECT(condition)                                                         \
    do {                                                                          \
        if (!(condition)) {                                                       \
            std::fprintf(stderr, "line %d: %s is false\n", __LINE__, #condition); \
            std::exit(1);                                                         \
        }                                                                         \
    } while (false)

namespace {

void covers_every_item_once(std::int64_t count, std::int64_t grain) {
    std::vector<std::atomic<int>> visits(static_cast<std::size_t>(count));
    parallel_for(count, grain, [&](std::int64_t begin, std::int64_t end) {
        EXPECT(0 <= begin && begin < end && end <= count);
        EXPECT(end == count || end - begin >= grain);
        for (std::int64_t i = begin; i < end; ++i) ++visits[static_cast<std::size_t>(i)];
    });
    for (const auto& visit : visits) EXPECT(visit == 1);
}

void carries_exceptions_over() {
    for (int round = 0; round < 200; ++round) {
        std::atomic<int> running{0};
        bool caught = false;
        try {
            parallel_for(64, 1, [&](std::int64_t begin, std::int64_t end) {
                ++running;
                const bool fails = begin <= 40 && 40 < end;
                --running;
                if (fails) throw std::runtime_error("item " + std::to_string(begin));
            });
        } catch (const std::runtime_error& error) {
            caught = std::string(error.what()).rfind("item ", 0) == 0;
        }
        EXPECT(caught && running == 0);
        covers_every_item_once(17, 1);  // the pool is usable afterwards
    }
}

void nests() {
    std::atomic<int> total{0};
    parallel_for(8, 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
            parallel_for(10, 1,
                         [&](std::int64_t first, std::int64_t last) { total += static_cast<int>(last - first); });
        }
    });
    EXPECT(total == 80);
}

void serves_several_callers() {
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 6; ++caller) {
        callers.emplace_back([] {
            for (int round = 0; round < 300; ++round) covers_every_item_once(50, 1 + round % 5);
        });
    }
    for (std::thread& caller : callers) caller.join();
}

}  // namespace

int main() {
    parallel_for(0, 1, [](std::int64_t, std::int64_t) { std::exit(1); });
    for (const int threads : {1, 2, 4, 3}) {
        posert::set_num_threads(threads);
        EXPECT(posert::get_num_threads() == threads);
        for (const std::int64_t count : {1, 2, 7, 1000}) {
            for (const std::int64_t grain : {1, 3, 5000}) covers_every_item_once(count, grain);
        }
        carries_exceptions_over();
        nests();
        serves_several_callers();
    }
    return 0;
}
