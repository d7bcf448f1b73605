#include "gguf/error.h"

namespace engine::gguf {

std::string quoted(std::string_view name) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text = "'";
  for (const char c : name.substr(0, 80)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7F) {
      text += c;
    } else {
      text.append("\\x").append({kDigits[byte / 16], kDigits[byte % 16]});
    }
  }
  return text + "'";
}

}  // namespace engine::gguf
