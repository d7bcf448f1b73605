#pragma once

#include <algorithm>
#include <cstddef>

namespace engine::runtime {

// When a draft model guesses although it was wrong too often of late: what it would be right about now is not known
// unless it is tried. Each try that fails puts the next off four times as far.
class Trials {
 public:
  // The chance by which a first guess behind so many tokens is weighed: the one counted, or where a try is due no less
  // than what was supposed.
  double chance(double counted, double supposed, std::size_t tokens) const {
    return is_due(tokens) ? std::max(counted, supposed) : counted;
  }
  void note(double counted, double supposed, std::size_t tokens, bool right) {
    if (counted >= supposed || !is_due(tokens)) return;
    if (right) gap_ = kFirstGap;
    next_ = tokens + gap_;
    if (!right) gap_ *= 4;
  }

 private:
  static constexpr std::size_t kFirstGap = 16;

  bool is_due(std::size_t tokens) const { return tokens >= next_; }

  std::size_t gap_ = kFirstGap;  // tokens from a try that fails to the next
  std::size_t next_ = 0;
};

}  // namespace engine::runtime
