#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace engine::runtime {

// Lets text through up to the first stop string, holding back an end that may yet become one.
class StopMatcher {
 public:
  // Throws std::invalid_argument where a stop string is empty.
  explicit StopMatcher(std::vector<std::string> stops);

  // Text that is now certain. Once matched() nothing more comes.
  std::string append(std::string_view text);
  bool matched() const { return matched_; }
  // The text that was held back, where it did not become a stop string.
  std::string finish();

 private:
  std::size_t held_back() const;

  std::vector<std::string> stops_;
  std::string pending_;
  bool matched_ = false;
};

}  // namespace engine::runtime
