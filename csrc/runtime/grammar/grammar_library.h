#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace engine::runtime {

// The library cannot be loaded, or is not the version whose functions are declared here.
class GrammarLibraryUnavailable : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// What is used of llguidance's C interface, declared as its version below has it: its structures carry no size of their
// own, so another version is refused.
inline constexpr const char* kGrammarLibraryVersion = "1.9.1";

struct LlgTokenizer;
struct LlgMatcher;

struct LlgParserLimits {
  std::size_t max_items_in_row;
  std::uint64_t initial_lexer_fuel;
  std::uint64_t step_lexer_fuel;
  std::size_t step_max_items;
  std::size_t max_lexer_states;
  std::size_t max_grammar_size;
  bool precompute_large_lexemes;
  bool verbose_errors;
};

struct LlgConstraintInit {
  const LlgTokenizer* tokenizer;
  std::uint32_t log_buffer_level;
  std::uint32_t log_stderr_level;
  bool ff_tokens_ok;
  bool backtrack_ok;
  LlgParserLimits limits;
};

struct LlgTokenizerInitV2 {
  std::size_t struct_size;
  std::uint32_t vocab_size;
  std::uint32_t tok_eos;
  const std::uint32_t* token_lens;
  const std::uint8_t* token_bytes;
  const char* tokenizer_json;
  bool tokenize_assumes_string;
  std::size_t (*tokenize_fn)(const void*, const std::uint8_t*, std::size_t, std::uint32_t*, std::size_t);
  bool use_approximate_greedy_tokenize_fn;
  const void* tokenize_user_data;
  const char* const* slices;
  const std::uint32_t* tok_eos_extra;
  std::uint32_t tok_eos_extra_count;
};

// Its functions. They may be called from any thread, those of one matcher by one at a time.
class GrammarLibrary {
 public:
  // Loads the file and never unloads it. Throws GrammarLibraryUnavailable.
  explicit GrammarLibrary(const std::string& path);

  LlgTokenizer* (*new_tokenizer)(const LlgTokenizerInitV2*, char* error, std::size_t error_size) = nullptr;
  void (*free_tokenizer)(LlgTokenizer*) = nullptr;
  void (*set_defaults)(LlgConstraintInit*, const LlgTokenizer*) = nullptr;
  LlgMatcher* (*new_matcher)(const LlgConstraintInit*, const char* language, const char* source) = nullptr;
  LlgMatcher* (*clone_matcher)(const LlgMatcher*) = nullptr;
  void (*free_matcher)(LlgMatcher*) = nullptr;
  const char* (*get_error)(LlgMatcher*) = nullptr;
  std::size_t (*get_mask_byte_size)(const LlgMatcher*) = nullptr;
  std::int32_t (*compute_mask_into)(LlgMatcher*, std::uint32_t* mask, std::size_t mask_bytes) = nullptr;
  std::int32_t (*consume_token)(LlgMatcher*, std::uint32_t token) = nullptr;
  bool (*is_stopped)(const LlgMatcher*) = nullptr;
};

}  // namespace engine::runtime
