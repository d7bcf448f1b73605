#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace engine::runtime {

// Appends a code point.
void append_utf8(std::string& text, std::uint32_t code_point);

// Code points of well-formed UTF-8; U+FFFD for each maximal ill-formed part.
std::u32string decode_utf8(std::string_view bytes);

// Turns bytes that arrive in pieces into well-formed UTF-8: an unfinished character waits for its end, each maximal
// ill-formed part becomes U+FFFD.
class Utf8Stream {
 public:
  std::string append(std::string_view bytes);
  // The replacement of an unfinished character at the end.
  std::string finish();

 private:
  std::string pending_;
};

}  // namespace engine::runtime
