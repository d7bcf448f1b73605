// A model in three files. Each input holds them one behind the other, each behind its length in four bytes.

#include <algorithm>
#include <array>
#include <cstring>
#include <new>

#include "gguf/error.h"
#include "gguf/file.h"
#include "scratch_file.h"

namespace {

using Bytes = std::span<const std::uint8_t>;

Bytes take_part(Bytes& content) {
  std::uint32_t length = 0;
  std::memcpy(&length, content.data(), std::min(content.size(), sizeof length));
  content = content.subspan(std::min(content.size(), sizeof length));
  const Bytes part = content.first(std::min<std::size_t>(length, content.size()));
  content = content.subspan(part.size());
  return part;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::array<fuzz::ScratchFile, 3> files{fuzz::ScratchFile("model-00001-of-00003.gguf"),
                                                      fuzz::ScratchFile("model-00002-of-00003.gguf"),
                                                      fuzz::ScratchFile("model-00003-of-00003.gguf")};
  Bytes content(data, size);
  for (const fuzz::ScratchFile& file : files) file.write(take_part(content));
  try {
    const engine::gguf::File file(files[0].path());
    for (std::size_t i = 0; i < file.parts(); ++i) static_cast<void>(file.part(i).tensors().size());
  } catch (const engine::gguf::MalformedFile&) {
    return 0;
  } catch (const engine::UnsupportedModel&) {
    return 0;
  } catch (const std::bad_alloc&) {
    return 0;
  }
  return 0;
}
