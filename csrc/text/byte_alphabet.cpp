#include "text/byte_alphabet.h"

namespace engine::runtime {

const std::array<char32_t, 256>& byte_alphabet() {
  static const auto alphabet = [] {
    std::array<char32_t, 256> stand_ins{};
    char32_t next = 0x100;
    for (char32_t byte = 0; byte < 256; ++byte) {
      const bool printable =
          (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
      stand_ins[byte] = printable ? byte : next++;
    }
    return stand_ins;
  }();
  return alphabet;
}

}  // namespace engine::runtime
