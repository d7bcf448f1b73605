#include "text/utf8.h"

namespace engine::runtime {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// How the bytes that begin a text are to be taken.
struct Prefix {
  enum class Kind { Character, IllFormed, Unfinished } kind;
  std::size_t bytes;
};

// Table 3-7 of the Unicode Standard: well-formed byte sequences.
Prefix classify(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t lead = byte(0);
  if (lead < 0x80) return {Prefix::Kind::Character, 1};
  if (lead < 0xC2 || lead > 0xF4) return {Prefix::Kind::IllFormed, 1};
  const std::size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  std::uint8_t low = 0x80;
  std::uint8_t high = 0xBF;
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  for (std::size_t i = 1; i < length; ++i, low = 0x80, high = 0xBF) {
    if (i == text.size()) return {Prefix::Kind::Unfinished, i};
    if (byte(i) < low || byte(i) > high) return {Prefix::Kind::IllFormed, i};
  }
  return {Prefix::Kind::Character, length};
}

}  // namespace

void append_utf8(std::string& text, std::uint32_t c) {
  const auto put = [&](std::uint32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | (c >> 6));
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | (c >> 12));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | (c >> 18));
    put(0x80 | ((c >> 12) & 0x3F));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

std::u32string decode_utf8(std::string_view bytes) {
  std::u32string text;
  while (!bytes.empty()) {
    const Prefix prefix = classify(bytes);
    char32_t c = 0xFFFD;
    if (prefix.kind == Prefix::Kind::Character) {
      c = static_cast<std::uint8_t>(bytes[0]);
      if (prefix.bytes > 1) c &= 0x7Fu >> prefix.bytes;
      for (std::size_t i = 1; i < prefix.bytes; ++i) c = (c << 6) | (static_cast<std::uint8_t>(bytes[i]) & 0x3F);
    }
    text.push_back(c);
    bytes.remove_prefix(prefix.bytes);
  }
  return text;
}

std::string Utf8Stream::append(std::string_view bytes) {
  pending_ += bytes;
  std::string text;
  std::string_view rest = pending_;
  while (!rest.empty()) {
    const Prefix prefix = classify(rest);
    if (prefix.kind == Prefix::Kind::Unfinished) break;
    text += prefix.kind == Prefix::Kind::Character ? rest.substr(0, prefix.bytes) : kReplacement;
    rest.remove_prefix(prefix.bytes);
  }
  pending_.erase(0, pending_.size() - rest.size());
  return text;
}

std::string Utf8Stream::finish() {
  const bool unfinished = !pending_.empty();
  pending_.clear();
  return std::string(unfinished ? kReplacement : "");
}

}  // namespace engine::runtime
