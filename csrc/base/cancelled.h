#pragma once

#include <stdexcept>

namespace engine {

// Thrown where work ends because its caller cancelled it.
class Cancelled : public std::runtime_error {
 public:
  Cancelled() : std::runtime_error("cancelled") {}
};

}  // namespace engine
