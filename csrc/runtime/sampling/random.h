#pragma once

#include <array>
#include <cstdint>

namespace engine::runtime {

// Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", 2011): a number that depends on its key
// and counter alone, so that a draw does not depend on how many were made before it.
inline std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53} * counter[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(b),
               static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(a)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

// What a random number is for: each has its own.
enum class Draw : std::uint32_t { Token = 0, Xtc = 1 };

// Uniform from 0 to below 2^53, for one position of one choice of a request.
inline std::uint64_t random_fraction(std::uint64_t seed, std::uint64_t position, Draw draw, std::uint32_t choice) {
  const auto words = philox({static_cast<std::uint32_t>(position), static_cast<std::uint32_t>(position >> 32),
                             static_cast<std::uint32_t>(draw), choice},
                            {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
  return ((std::uint64_t{words[0]} << 32) | words[1]) >> 11;
}

}  // namespace engine::runtime
