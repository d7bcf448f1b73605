#pragma once

#include <string>
#include <string_view>

namespace engine::runtime {

// An event of a stream over HTTP that is always the same but for its text, which is JSON between what never changes.
struct TextEvent {
  std::string before;
  std::string behind;
};

// The event of a text, as a chunk of a body whose Transfer-Encoding is `chunked`.
std::string text_chunk(const TextEvent& event, std::string_view text);

}  // namespace engine::runtime
