#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/barrier.h"

namespace engine {

// A fixed group of threads that run one job together: the caller is member 0. Between jobs members sleep.
// Inside a job they meet at a barrier. Where there are as many members as the process is allowed processors, each keeps
// to one of them during a job: two on one processor would take turns at every barrier while another process has the
// second processor to itself.
class ThreadTeam {
 public:
  // Throws std::invalid_argument for no members, std::system_error where threads cannot be made.
  ThreadTeam(unsigned members, std::chrono::microseconds spin);
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  unsigned size() const { return members_; }

  // Runs job(member) on every member and returns when all have. The job must not throw.
  void run(const std::function<void(unsigned)>& job);

  // Every member must call it; none goes on before all have.
  void barrier() { barrier_.wait(); }

 private:
  void serve(unsigned member);
  // Ends the threads made so far.
  void dismiss();

  const unsigned members_;
  std::vector<int> processors_;  // [members], or empty where they may run anywhere
  Barrier barrier_;

  alignas(64) std::mutex mutex_;
  std::condition_variable wake_;
  const std::function<void(unsigned)>* job_ = nullptr;
  std::uint64_t job_number_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

// For teams of one job that ends: how long a member waits at a barrier before it sleeps.
inline constexpr std::chrono::microseconds kJobSpin{50};

// The part of [0, count) that belongs to one member: contiguous, fixed for given numbers.
struct Range {
  std::size_t begin;
  std::size_t end;
};
Range member_range(std::size_t count, unsigned member, unsigned members);

}  // namespace engine
