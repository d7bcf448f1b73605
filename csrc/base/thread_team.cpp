#include "base/thread_team.h"

#include <sched.h>

#include <optional>
#include <stdexcept>

namespace engine {
namespace {

std::vector<int> allowed_processors() {
  cpu_set_t allowed;
  std::vector<int> processors;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return processors;
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &allowed)) processors.push_back(i);
  }
  return processors;
}

// Keeps the calling thread to one processor for as long as it lives. Where the system refuses, nothing is lost but
// speed.
class Confinement {
 public:
  explicit Confinement(int processor) {
    confined_ = sched_getaffinity(0, sizeof(before_), &before_) == 0;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    confined_ = confined_ && sched_setaffinity(0, sizeof(one), &one) == 0;
  }
  ~Confinement() {
    if (confined_) sched_setaffinity(0, sizeof(before_), &before_);
  }
  Confinement(const Confinement&) = delete;
  Confinement& operator=(const Confinement&) = delete;

 private:
  cpu_set_t before_{};
  bool confined_ = false;
};

}  // namespace

ThreadTeam::ThreadTeam(unsigned members, std::chrono::microseconds spin) : members_(members), barrier_(members, spin) {
  if (members == 0) throw std::invalid_argument("threads must be at least 1");
  processors_ = allowed_processors();
  if (members < 2 || processors_.size() != members) processors_.clear();
  threads_.reserve(members - 1);
  try {
    for (unsigned member = 1; member < members; ++member) {
      threads_.emplace_back([this, member] { serve(member); });
    }
  } catch (...) {
    dismiss();
    throw;
  }
}

ThreadTeam::~ThreadTeam() { dismiss(); }

void ThreadTeam::dismiss() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadTeam::run(const std::function<void(unsigned)>& job) {
  if (members_ > 1) {
    {
      const std::scoped_lock lock(mutex_);
      job_ = &job;
      ++job_number_;
    }
    wake_.notify_all();
  }
  std::optional<Confinement> confinement;
  if (!processors_.empty()) confinement.emplace(processors_[0]);
  job(0);
  barrier();
}

void ThreadTeam::serve(unsigned member) {
  std::optional<Confinement> confinement;
  if (!processors_.empty()) confinement.emplace(processors_[member]);
  std::uint64_t done = 0;
  for (;;) {
    const std::function<void(unsigned)>* job = nullptr;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stopping_ || job_number_ != done; });
      if (stopping_) return;
      job = job_;
      done = job_number_;
    }
    (*job)(member);
    barrier();
  }
}

Range member_range(std::size_t count, unsigned member, unsigned members) {
  return {count * member / members, count * (member + 1) / members};
}

}  // namespace engine
