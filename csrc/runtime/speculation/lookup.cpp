#include "runtime/speculation/lookup.h"

#include <algorithm>
#include <bit>

namespace engine::runtime {
namespace {

constexpr std::size_t kLeast = 2;      // tokens that must repeat
constexpr std::size_t kMost = 16;      // tokens that are compared
constexpr std::size_t kCompared = 64;  // places
constexpr std::size_t kMostChains = 1 << 16;

std::size_t chains(std::size_t context_length) {
  return std::bit_ceil(std::clamp<std::size_t>(context_length, 2, kMostChains));
}

// The kind of guesses behind a repetition of this length; see drafter.h.
std::size_t kind_of(std::size_t length) {
  if (length < kLeast) return 0;
  if (length < 4) return length - 1;
  return std::min<std::size_t>(std::bit_width(length), 5);
}

}  // namespace

Lookup::Lookup(std::size_t context_length) : latest_(chains(context_length), -1) {}

std::size_t Lookup::bytes(std::size_t context_length) {
  return (chains(context_length) + 2 * context_length) * sizeof(std::int32_t);  // vectors grow by doubling
}

std::size_t Lookup::chain_of(std::span<const std::int32_t> tokens, std::size_t place) const {
  const auto pair = std::uint64_t{static_cast<std::uint32_t>(tokens[place - 2])} << 32 |
                    static_cast<std::uint32_t>(tokens[place - 1]);
  return static_cast<std::size_t>(pair * 0x9E3779B97F4A7C15 >> 32) & (latest_.size() - 1);
}

void Lookup::extend(std::span<const std::int32_t> tokens) {
  for (std::size_t place = earlier_.size(); place < tokens.size(); ++place) {
    if (followed_) {
      const bool agreed = agrees_;
      agrees_ = tokens[place] == tokens[*followed_];
      if (agrees_ || agreed) ++*followed_;  // a first token that differs stands for the one there
    }
    std::int32_t* latest = place < kLeast ? nullptr : &latest_[chain_of(tokens, place)];
    earlier_.push_back(latest == nullptr ? -1 : *latest);
    if (latest != nullptr) *latest = static_cast<std::int32_t>(place);
  }
}

std::size_t Lookup::distance(std::size_t place) const {
  if (!followed_) return 0;
  return place > *followed_ ? place - *followed_ : *followed_ - place;
}

Lookup::Repetition Lookup::longest(std::span<const std::int32_t> tokens) const {
  Repetition found;
  std::int32_t chained = latest_[chain_of(tokens, tokens.size())];
  for (std::size_t i = 0; i < kCompared && chained >= 0; ++i) {
    const auto place = static_cast<std::size_t>(chained);
    const std::size_t most = std::min(kMost, place);
    std::size_t length = 0;
    while (length < most && tokens[place - 1 - length] == tokens[tokens.size() - 1 - length]) ++length;
    const bool nearer = length == found.length && distance(place) < distance(found.place);
    if (length >= kLeast && (length > found.length || nearer)) found = {place, length};
    chained = earlier_[place];
  }
  return found;
}

void Lookup::guess(std::span<const std::int32_t> tokens, std::size_t most, std::vector<Guess>& guesses) {
  extend(tokens);
  if (tokens.size() < kLeast) return;
  const Repetition repetition = longest(tokens);
  if (repetition.length > 0) {
    followed_ = repetition.place;
    agrees_ = true;
  }
  if (!followed_) return;
  const std::size_t first = guesses.size();
  for (std::size_t i = 0; i < most; ++i) {
    const std::size_t place = *followed_ + i;
    // A text that reaches the end goes on into what is guessed.
    const std::int32_t token = place < tokens.size() ? tokens[place] : guesses[first + place - tokens.size()].token;
    guesses.push_back({token, kind_of(repetition.length + i)});
  }
}

}  // namespace engine::runtime
