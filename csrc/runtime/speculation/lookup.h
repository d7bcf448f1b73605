#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "runtime/speculation/drafter.h"

namespace engine::runtime {

// Guesses that a sequence goes on as it did before: behind the longest of its ends that is there already. Of equals it
// takes the one nearest to where the last guess would go on, so that a text that is copied with changes is followed;
// without such a place the latest. Where no end repeats, it guesses that one token of that text was replaced.
//
// Places behind the same two tokens are chained, as LZ77's are, and the latest of them compared.
class Lookup final : public Drafter {
 public:
  explicit Lookup(std::size_t context_length);

  // Bytes of its tables at most.
  static std::size_t bytes(std::size_t context_length);

  std::unique_ptr<Drafter> copy() const override { return std::make_unique<Lookup>(*this); }
  void guess(std::span<const std::int32_t> tokens, std::size_t most, std::vector<Guess>& guesses) override;

 private:
  struct Repetition {
    std::size_t place = 0;   // what follows it
    std::size_t length = 0;  // 0 where there is none
  };

  std::size_t chain_of(std::span<const std::int32_t> tokens, std::size_t place) const;
  // Moves the place that is followed along with the tokens that have come, and adds their places to their chains.
  void extend(std::span<const std::int32_t> tokens);
  Repetition longest(std::span<const std::int32_t> tokens) const;
  std::size_t distance(std::size_t place) const;

  std::vector<std::int32_t> latest_;     // by chain: its last place, or -1
  std::vector<std::int32_t> earlier_;    // by place: the one before it in its chain, or -1
  std::optional<std::size_t> followed_;  // where the text that is repeated goes on
  bool agrees_ = false;                  // it did so with the last token
};

}  // namespace engine::runtime
