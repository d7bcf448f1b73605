#include "text/vocabulary.h"

#include <charconv>
#include <stdexcept>
#include <unordered_map>

#include "text/byte_alphabet.h"
#include "text/utf8.h"

namespace engine::runtime {
namespace {

enum class TokenKind : std::int64_t { Normal = 1, Unknown = 2, Control = 3, UserDefined = 4, Unused = 5, Byte = 6 };

const std::unordered_map<char32_t, char>& bytes_by_stand_in() {
  static const auto bytes = [] {
    std::unordered_map<char32_t, char> map;
    for (std::size_t byte = 0; byte < byte_alphabet().size(); ++byte) {
      map.emplace(byte_alphabet()[byte], static_cast<char>(byte));
    }
    return map;
  }();
  return bytes;
}

std::string bpe_piece(std::string_view token) {
  std::string piece;
  for (const char32_t c : decode_utf8(token)) {
    const auto found = bytes_by_stand_in().find(c);
    if (found != bytes_by_stand_in().end()) {
      piece.push_back(found->second);
    } else {
      append_utf8(piece, c);
    }
  }
  return piece;
}

std::string sentence_piece(std::string_view token) {
  constexpr std::string_view kSpace = "\xE2\x96\x81";  // U+2581
  std::string piece;
  for (std::size_t i = 0; i < token.size();) {
    if (token.substr(i).starts_with(kSpace)) {
      piece.push_back(' ');
      i += kSpace.size();
    } else {
      piece.push_back(token[i++]);
    }
  }
  return piece;
}

// "<0x0A>"
std::string byte_piece(std::string_view token) {
  unsigned value = 0;
  if (token.size() == 6 && token.starts_with("<0x") && token.ends_with('>')) {
    const auto result = std::from_chars(token.data() + 3, token.data() + 5, value, 16);
    if (result.ptr == token.data() + 5) return {static_cast<char>(value)};
  }
  throw gguf::MalformedFile("byte token " + gguf::quoted(token) + " is not of the form <0x00>");
}

}  // namespace

Vocabulary::Vocabulary(const gguf::File& file) {
  const auto model = file.string("tokenizer.ggml.model");
  if (!model) throw gguf::MalformedFile("key 'tokenizer.ggml.model' is missing: the file has no vocabulary");
  if (*model != "llama" && *model != "gpt2" && *model != "gemma4" && *model != "bert") {
    throw UnsupportedModel("tokenizer " + gguf::quoted(*model));
  }
  const bool bpe = *model == "gpt2";
  const gguf::ArrayView* tokens = file.array("tokenizer.ggml.tokens");
  if (tokens == nullptr) throw gguf::MalformedFile("key 'tokenizer.ggml.tokens' is missing");
  const auto texts = tokens->strings();
  const gguf::ArrayView* types = file.array("tokenizer.ggml.token_type");
  const auto kinds = types != nullptr ? types->integers() : std::vector<std::int64_t>(texts.size(), 1);
  if (kinds.size() != texts.size()) {
    throw gguf::MalformedFile("'tokenizer.ggml.token_type' and 'tokenizer.ggml.tokens' differ in length");
  }
  leading_space_added_ =
      *model == "bert" || (*model == "llama" && file.boolean("tokenizer.ggml.add_space_prefix").value_or(true));
  pieces_.reserve(texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    switch (static_cast<TokenKind>(kinds[i])) {
      case TokenKind::Normal:
        pieces_.push_back(bpe ? bpe_piece(texts[i]) : sentence_piece(texts[i]));
        break;
      case TokenKind::UserDefined:
        pieces_.emplace_back(texts[i]);
        break;
      case TokenKind::Byte:
        pieces_.push_back(byte_piece(texts[i]));
        break;
      case TokenKind::Unknown:
      case TokenKind::Control:
      case TokenKind::Unused:
      default:
        pieces_.emplace_back();
    }
  }
}

const std::string& Vocabulary::piece(std::int64_t token) const {
  if (token < 0 || static_cast<std::size_t>(token) >= pieces_.size()) {
    throw std::out_of_range("token " + std::to_string(token) + " is not among the " + std::to_string(size()) +
                            " of the vocabulary");
  }
  return pieces_[static_cast<std::size_t>(token)];
}

std::string Vocabulary::detokenize(std::span<const std::int64_t> tokens) const {
  std::string bytes;
  for (const std::int64_t token : tokens) bytes += piece(token);
  if (leading_space_added_ && bytes.starts_with(' ')) bytes.erase(0, 1);
  Utf8Stream stream;
  std::string text = stream.append(bytes);
  return text + stream.finish();
}

}  // namespace engine::runtime
