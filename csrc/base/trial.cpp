#include "base/trial.h"

#include <csetjmp>
#include <csignal>

namespace engine {
namespace {

// Where the thread that tries goes on if an instruction is refused; null for all others.
thread_local sigjmp_buf* refused = nullptr;
struct sigaction previous;

void leave_trial(int signal) {
  if (refused != nullptr) siglongjmp(*refused, 1);
  // Another thread's fault: it meets what was there before, once it executes the instruction again.
  sigaction(signal, &previous, nullptr);
}

}  // namespace

bool processor_runs(std::uint64_t (*code)()) {
  sigjmp_buf place;
  struct sigaction trial{};
  trial.sa_handler = leave_trial;
  sigaction(SIGILL, &trial, &previous);
  volatile bool ran = false;
  if (sigsetjmp(place, 1) == 0) {
    refused = &place;
    code();
    ran = true;
  }
  refused = nullptr;
  sigaction(SIGILL, &previous, nullptr);
  return ran;
}

}  // namespace engine
