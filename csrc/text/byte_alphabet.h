#pragma once

#include <array>

namespace engine::runtime {

// GPT-2's printable stand-in for each byte: printable Latin-1 stands for itself, the other bytes in ascending order for
// code points from U+0100 on.
const std::array<char32_t, 256>& byte_alphabet();

}  // namespace engine::runtime
