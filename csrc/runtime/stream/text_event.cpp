#include "runtime/stream/text_event.h"

#include <array>
#include <charconv>
#include <cstddef>

namespace engine::runtime {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";

void put_escape(std::string& out, unsigned code_point) {
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out.push_back(kHexDigits[(code_point >> shift) & 0xf]);
}

void put_byte(std::string& out, char byte) {
  switch (byte) {
    case '"':
      out += "\\\"";
      break;
    case '\\':
      out += "\\\\";
      break;
    case '\b':
      out += "\\b";
      break;
    case '\t':
      out += "\\t";
      break;
    case '\n':
      out += "\\n";
      break;
    case '\f':
      out += "\\f";
      break;
    case '\r':
      out += "\\r";
      break;
    default:
      if (static_cast<unsigned char>(byte) < 0x20) {
        put_escape(out, static_cast<unsigned char>(byte));
      } else {
        out.push_back(byte);
      }
  }
}

// What JSON leaves as it is, and clients that cut a stream into lines by Unicode's rules take for the end of one.
struct LineEnd {
  std::string_view utf8;
  unsigned code_point;
};
constexpr std::array<LineEnd, 3> kLineEnds{{{"\xc2\x85", 0x85}, {"\xe2\x80\xa8", 0x2028}, {"\xe2\x80\xa9", 0x2029}}};

const LineEnd* line_end_at(std::string_view text) {
  for (const LineEnd& end : kLineEnds) {
    if (text.starts_with(end.utf8)) return &end;
  }
  return nullptr;
}

void put_json(std::string& out, std::string_view text) {
  out.push_back('"');
  while (!text.empty()) {
    if (const LineEnd* end = line_end_at(text); end != nullptr) {
      put_escape(out, end->code_point);
      text.remove_prefix(end->utf8.size());
    } else {
      put_byte(out, text.front());
      text.remove_prefix(1);
    }
  }
  out.push_back('"');
}

}  // namespace

std::string text_chunk(const TextEvent& event, std::string_view text) {
  std::string data = event.before;
  put_json(data, text);
  data += event.behind;
  std::array<char, 2 * sizeof(std::size_t)> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), data.size(), 16).ptr;
  std::string chunk(digits.data(), end);
  chunk += "\r\n";
  chunk += data;
  chunk += "\r\n";
  return chunk;
}

}  // namespace engine::runtime
