#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "runtime/speculation/drafter.h"

namespace engine::runtime {

// How often the guesses about one sequence were right of late, by their kind.
class Acceptance {
 public:
  // The chance that a guess of the kind is right, above 0 and below 1.
  double chance(std::size_t kind) const;
  // The same before any was judged.
  static double supposed(std::size_t kind);
  void note(std::size_t kind, bool right);

 private:
  struct Count {
    std::uint32_t judged = 0;
    std::uint32_t right = 0;
  };

  std::array<Count, kGuessKinds> counts_{};
};

}  // namespace engine::runtime
