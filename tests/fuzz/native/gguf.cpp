// A model's header: keys, arrays, tensors, vocabulary and merges.

#include <algorithm>
#include <memory>
#include <new>
#include <string>
#include <system_error>
#include <variant>
#include <vector>

#include "gguf/error.h"
#include "gguf/file.h"
#include "scratch_file.h"
#include "text/byte_pairs.h"
#include "text/vocabulary.h"

namespace {

using engine::gguf::ArrayView;
using engine::gguf::File;

constexpr std::string_view kWords[] = {"a", "ab", "Hello", "\n\n", "\xE4\xB8\xAD"};

void read_values(const File& file) {
  for (const std::string_view key : file.keys()) {
    const engine::gguf::Value* value = file.find(std::string(key));
    const auto* array = value == nullptr ? nullptr : std::get_if<ArrayView>(value);
    if (array == nullptr) continue;
    try {
      static_cast<void>(array->strings());
    } catch (const engine::gguf::MalformedFile&) {
      static_cast<void>(array->bytes.size());
    }
  }
}

void read_tokens(const std::shared_ptr<const File>& file, engine::runtime::Spelling spelling) {
  const engine::runtime::BytePairs pairs(file, spelling);
  std::vector<std::int64_t> tokens;
  for (const std::string_view word : kWords) {
    pairs.encode(word, false, tokens);
    pairs.encode(word, true, tokens);
  }
  const engine::runtime::Vocabulary vocabulary(*file);
  static_cast<void>(vocabulary.detokenize(tokens));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fuzz::ScratchFile scratch("model.gguf");
  scratch.write({data, size});
  try {
    const auto file = std::make_shared<const File>(scratch.path());
    read_values(*file);
    read_tokens(file, engine::runtime::Spelling::Bytes);
    read_tokens(file, engine::runtime::Spelling::Characters);
  } catch (const engine::gguf::MalformedFile&) {
    return 0;
  } catch (const engine::UnsupportedModel&) {
    return 0;
  } catch (const std::bad_alloc&) {
    return 0;
  }
  return 0;
}
