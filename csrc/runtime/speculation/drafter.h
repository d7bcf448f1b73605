#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace engine::runtime {

// Guesses of one kind are right about equally often: those behind a place where a repetition broke off, behind a
// repetition of 2, 3, 4 to 7, 8 to 15, 16 and more tokens, what a grammar forces; all of a draft model's, before they
// are known, and then those of which it was up to 50, 80, 95 and 100 % sure.
inline constexpr std::size_t kForcedKind = 6;
inline constexpr std::size_t kDraftedKind = 7;
inline constexpr std::size_t kGuessKinds = 12;

// A token that may come next, where those guessed before it do.
struct Guess {
  std::int32_t token;
  std::size_t kind;
};

// Guesses how one sequence goes on. What it guesses changes how soon tokens come, never which.
class Drafter {
 public:
  virtual ~Drafter() = default;

  // For another sequence that begins with the same tokens. Throws std::bad_alloc.
  virtual std::unique_ptr<Drafter> copy() const = 0;

  // Appends at most `most` guesses of what follows `tokens`, which begin with those of the call before. Throws
  // std::bad_alloc.
  virtual void guess(std::span<const std::int32_t> tokens, std::size_t most, std::vector<Guess>& guesses) = 0;
};

}  // namespace engine::runtime
