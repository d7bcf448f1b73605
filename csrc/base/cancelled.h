#pragma once

#include <stdexcept>

namespace engine {

// Work ended because it was told to.
class Cancelled : public std::runtime_error {
 public:
  Cancelled() : std::runtime_error("cancelled") {}
};

}  // namespace engine
