#include "text/stop_matcher.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace engine::runtime {

StopMatcher::StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {
  if (std::ranges::any_of(stops_, &std::string::empty)) throw std::invalid_argument("a stop string is empty");
}

std::string StopMatcher::append(std::string_view text) {
  if (matched_) return {};
  pending_ += text;
  std::size_t first = std::string::npos;
  for (const std::string& stop : stops_) first = std::min(first, pending_.find(stop));
  if (first != std::string::npos) {
    matched_ = true;
    std::string certain = pending_.substr(0, first);
    pending_.clear();
    return certain;
  }
  const std::size_t certain_bytes = pending_.size() - held_back();
  std::string certain = pending_.substr(0, certain_bytes);
  pending_.erase(0, certain_bytes);
  return certain;
}

std::size_t StopMatcher::held_back() const {
  std::size_t longest = 0;
  for (const std::string& stop : stops_) {
    for (std::size_t n = std::min(stop.size() - 1, pending_.size()); n > longest; --n) {
      if (pending_.ends_with(std::string_view(stop).substr(0, n))) longest = n;
    }
  }
  return longest;
}

std::string StopMatcher::finish() { return std::exchange(pending_, {}); }

}  // namespace engine::runtime
