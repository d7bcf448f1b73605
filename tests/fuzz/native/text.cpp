// Text as it arrives from a model: however its bytes are cut, the same characters and the same stop must come of them.

#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "text/stop_matcher.h"
#include "text/utf8.h"

namespace {

using engine::runtime::StopMatcher;
using engine::runtime::Utf8Stream;

void require(bool holds) {
  if (!holds) std::abort();
}

struct Pieces {
  std::string_view bytes;
  std::size_t step;

  template <typename Take>
  void each(Take take) const {
    for (std::size_t at = 0; at < bytes.size(); at += step) take(bytes.substr(at, step));
  }
};

std::string decoded(const Pieces& pieces) {
  Utf8Stream stream;
  std::string text;
  pieces.each([&](std::string_view piece) { text += stream.append(piece); });
  return text + stream.finish();
}

std::string until_stop(const Pieces& pieces, const std::string& stop) {
  StopMatcher matcher({stop});
  std::string text;
  pieces.each([&](std::string_view piece) { text += matcher.append(piece); });
  return matcher.matched() ? text : text + matcher.finish();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return -1;
  const std::size_t step = 1 + data[0] % 7;
  const std::size_t stop_length = std::min<std::size_t>(1 + data[1] % 5, size - 2);
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);

  const std::string whole = decoded({bytes, bytes.size()});
  require(decoded({bytes, step}) == whole);
  require(decoded({whole, step}) == whole);  // what came out is well-formed

  const std::string stop(bytes.substr(0, stop_length));
  const std::string_view text = bytes.substr(stop_length);
  const std::size_t found = text.find(stop);
  require(until_stop({text, step}, stop) == text.substr(0, found));
  return 0;
}
