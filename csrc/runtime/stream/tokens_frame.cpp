#include "runtime/stream/tokens_frame.h"

#include <cstddef>

namespace engine::runtime {
namespace {

void put_big_endian(std::string& out, std::uint64_t value, unsigned bytes) {
  while (bytes-- > 0) out.push_back(static_cast<char>(value >> (8 * bytes)));
}

void put_tag(std::string& out, unsigned tag) { out.push_back(static_cast<char>(tag)); }

// The shortest form, as every msgpack library writes it.
void put_unsigned(std::string& out, std::uint64_t value) {
  if (value < 0x80) {
    put_tag(out, static_cast<unsigned>(value));
  } else if (value <= UINT8_MAX) {
    put_tag(out, 0xcc);
    put_big_endian(out, value, 1);
  } else if (value <= UINT16_MAX) {
    put_tag(out, 0xcd);
    put_big_endian(out, value, 2);
  } else if (value <= UINT32_MAX) {
    put_tag(out, 0xce);
    put_big_endian(out, value, 4);
  } else {
    put_tag(out, 0xcf);
    put_big_endian(out, value, 8);
  }
}

void put_text(std::string& out, std::string_view text) {
  if (text.size() < 32) {
    put_tag(out, 0xa0 | static_cast<unsigned>(text.size()));
  } else if (text.size() <= UINT8_MAX) {
    put_tag(out, 0xd9);
    put_big_endian(out, text.size(), 1);
  } else if (text.size() <= UINT16_MAX) {
    put_tag(out, 0xda);
    put_big_endian(out, text.size(), 2);
  } else {
    put_tag(out, 0xdb);
    put_big_endian(out, text.size(), 4);
  }
  out += text;
}

void put_array_header(std::string& out, std::size_t elements) {
  if (elements < 16) {
    put_tag(out, 0x90 | static_cast<unsigned>(elements));
  } else if (elements <= UINT16_MAX) {
    put_tag(out, 0xdc);
    put_big_endian(out, elements, 2);
  } else {
    put_tag(out, 0xdd);
    put_big_endian(out, elements, 4);
  }
}

}  // namespace

std::string tokens_frame(std::uint64_t request_id, std::string_view execution_id, const SequenceEvents& events) {
  constexpr unsigned kFields = 6;
  std::string content;
  put_tag(content, 0x80 | kFields);
  put_text(content, "type");
  put_text(content, "Tokens");
  put_text(content, "request_id");
  put_unsigned(content, request_id);
  put_text(content, "execution_id");
  put_text(content, execution_id);
  put_text(content, "choice");
  put_unsigned(content, events.choice);
  put_text(content, "token_ids");
  put_array_header(content, events.token_ids.size());
  for (const std::int32_t id : events.token_ids) put_unsigned(content, static_cast<std::uint64_t>(id));
  put_text(content, "text");
  put_text(content, events.text);
  std::string frame;
  put_big_endian(frame, content.size(), 4);
  return frame + content;
}

}  // namespace engine::runtime
