#include "assemble_people.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "rasterize_discs.hpp"
#include "threads.hpp"

namespace posert {
namespace {

constexpr std::int32_t kNone = -1;

struct Connection {
    float score;
    std::int32_t first, second;  // peaks
};

struct Person {
    double total;
    std::int64_t count;
};

// Joins the peaks of one item. Not to be shared between threads.
class Assembler {
  public:
    Assembler(std::int64_t joints, std::int64_t most_peaks, const AssemblyOptions& options)
        : joints_(joints), most_(most_peaks), options_(options), there_(static_cast<std::size_t>(joints)) {}

    void assemble(const float* peaks, const float* scores) {
        peaks_ = peaks;
        people_.clear();
        members_.clear();
        for (std::int64_t joint = 0; joint < joints_; ++joint) {
            auto& there = there_[static_cast<std::size_t>(joint)];
            there.clear();
            for (std::int32_t i = 0; i < most_; ++i) {
                if (is_present(peak(joint, i))) there.push_back(i);
            }
        }
        for (std::int64_t turn = 0; turn < options_.order_count; ++turn) {
            const std::int64_t limb = options_.order[turn];
            const std::int32_t a = options_.limbs[2 * limb], b = options_.limbs[2 * limb + 1];
            if (present(a).empty() || present(b).empty()) {
                start_alone(a);
                start_alone(b);
                continue;
            }
            take_connections(scores + limb * most_ * most_, present(a), present(b));
            for (const Connection& connection : taken_) {
                if (options_.redundant[limb]) {
                    fill(a, b, connection);
                } else {
                    join(a, b, connection);
                }
            }
        }
    }

    // Writes the people that are good enough, at most `rows` of them.
    void write(std::int64_t rows, float* out, float* totals) {
        kept_.clear();
        for (std::size_t i = 0; i < people_.size(); ++i) {
            const auto count = static_cast<double>(people_[i].count);
            if (people_[i].count >= options_.min_joints && people_[i].total >= options_.min_score * count)
                kept_.push_back(i);
        }
        if (static_cast<std::int64_t>(kept_.size()) > rows) {
            std::stable_sort(kept_.begin(), kept_.end(),
                             [this](std::size_t a, std::size_t b) { return people_[a].total > people_[b].total; });
            kept_.resize(static_cast<std::size_t>(rows));
            std::sort(kept_.begin(), kept_.end());
        }
        for (std::int64_t row = 0; row < rows; ++row) {
            const bool used = row < static_cast<std::int64_t>(kept_.size());
            const std::size_t person = used ? kept_[static_cast<std::size_t>(row)] : 0;
            totals[row] = used ? static_cast<float>(people_[person].total) : 0.0F;
            for (std::int64_t joint = 0; joint < joints_; ++joint)
                write_joint(joint, used ? member(person, joint) : kNone, out + 3 * (row * joints_ + joint));
        }
    }

  private:
    const float* peak(std::int64_t joint, std::int64_t index) const { return peaks_ + 3 * (joint * most_ + index); }
    const std::vector<std::int32_t>& present(std::int32_t joint) const {
        return there_[static_cast<std::size_t>(joint)];
    }
    std::int32_t& member(std::size_t person, std::int64_t joint) {
        return members_[person * static_cast<std::size_t>(joints_) + static_cast<std::size_t>(joint)];
    }

    // The first person who has a peak, or how many people there are.
    std::size_t owner(std::int32_t joint, std::int32_t index) {
        std::size_t person = 0;
        while (person < people_.size() && member(person, joint) != index) ++person;
        return person;
    }

    std::size_t start() {
        people_.push_back({0, 0});
        members_.insert(members_.end(), static_cast<std::size_t>(joints_), kNone);
        return people_.size() - 1;
    }

    void add(std::size_t person, std::int32_t joint, std::int32_t index, double score) {
        member(person, joint) = index;
        people_[person].total += score;
        people_[person].count += 1;
    }

    void start_alone(std::int32_t joint) {
        for (const std::int32_t index : present(joint)) {
            if (owner(joint, index) == people_.size()) add(start(), joint, index, peak(joint, index)[2]);
        }
    }

    void join(std::int32_t a, std::int32_t b, const Connection& connection) {
        std::size_t person = owner(a, connection.first);
        if (person == people_.size()) add(start(), a, connection.first, peak(a, connection.first)[2]);
        const double score = connection.score;
        add(person, b, connection.second, static_cast<double>(peak(b, connection.second)[2]) + score);
    }

    void fill(std::int32_t a, std::int32_t b, const Connection& connection) {
        for (std::size_t person = 0; person < people_.size(); ++person) {
            std::int32_t &first = member(person, a), &second = member(person, b);
            if (first == connection.first && second == kNone) {
                second = connection.second;
            } else if (second == connection.second && first == kNone) {
                first = connection.first;
            }
        }
    }

    // Puts into taken_ the connections of a limb that hold: from the highest score down, while both peaks are free.
    void take_connections(const float* scores, const std::vector<std::int32_t>& first,
                          const std::vector<std::int32_t>& second) {
        all_.clear();
        taken_.clear();
        for (const std::int32_t a : first) {
            for (const std::int32_t b : second) {
                const float score = scores[a * most_ + b];
                if (score > 0 && score < std::numeric_limits<float>::infinity()) all_.push_back({score, a, b});
            }
        }
        std::sort(all_.begin(), all_.end(), [](const Connection& x, const Connection& y) {
            if (x.score != y.score) return x.score > y.score;
            return x.first != y.first ? x.first > y.first : x.second > y.second;
        });
        first_used_.assign(static_cast<std::size_t>(most_), 0);
        second_used_.assign(static_cast<std::size_t>(most_), 0);
        for (const Connection& connection : all_) {
            char& from = first_used_[static_cast<std::size_t>(connection.first)];
            char& to = second_used_[static_cast<std::size_t>(connection.second)];
            if (from || to) continue;
            from = to = 1;
            taken_.push_back(connection);
        }
    }

    void write_joint(std::int64_t joint, std::int32_t index, float* out) const {
        if (index == kNone) {
            out[0] = out[1] = std::numeric_limits<float>::quiet_NaN();
            out[2] = 0;
        } else {
            std::copy_n(peak(joint, index), 3, out);
        }
    }

    std::int64_t joints_, most_;
    const AssemblyOptions& options_;
    const float* peaks_ = nullptr;
    std::vector<std::vector<std::int32_t>> there_;  // present peaks of each joint
    std::vector<Person> people_;
    std::vector<std::int32_t> members_;  // (people, joints): peak or kNone
    std::vector<Connection> all_, taken_;
    std::vector<char> first_used_, second_used_;
    std::vector<std::size_t> kept_;
};

}  // namespace

void assemble_people(const float* peaks, std::int64_t joints, std::int64_t most_peaks, const float* scores,
                     const AssemblyOptions& options, const PeopleTarget& out) {
    const std::int64_t connections = options.limb_count * most_peaks * most_peaks;
    const std::int64_t work = std::max<std::int64_t>(connections + out.max_people * joints, 1);
    parallel_for(out.items, std::max<std::int64_t>(1, (1 << 15) / work), [&](std::int64_t begin, std::int64_t end) {
        Assembler assembler(joints, most_peaks, options);
        for (std::int64_t item = begin; item < end; ++item) {
            assembler.assemble(peaks + 3 * joints * most_peaks * item, scores + connections * item);
            assembler.write(out.max_people, out.people + item * out.item_stride, out.totals + item * out.max_people);
        }
    });
}

}  // namespace posert
