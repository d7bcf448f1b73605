#include "runtime/grammar/grammar.h"

#include <algorithm>
#include <array>
#include <future>
#include <limits>
#include <semaphore>
#include <string_view>
#include <thread>
#include <utility>

namespace engine::runtime {
namespace {

constexpr std::uint32_t kNoToken = std::numeric_limits<std::uint32_t>::max();
constexpr std::size_t kAllTokens = std::numeric_limits<std::size_t>::max();
constexpr const char* kNoneAllowed = "no token of the vocabulary may come next";
// A token of these bytes stands for a control token in the library's eyes.
constexpr char kControlMark = '\xFF';
constexpr std::ptrdiff_t kMaxCompilations = 2;
// Symbols in productions. What compiling and a single step may take grows with the square of them: this many take a
// tenth of a second at worst.
constexpr std::size_t kMaxGrammarSize = 5000;

// The bytes of all tokens, one after the other, with the length of each.
struct TokenBytes {
  std::vector<std::uint32_t> lengths;  // [vocabulary]
  std::string bytes;
};

TokenBytes bytes_of(const Vocabulary& vocabulary) {
  TokenBytes tokens;
  tokens.lengths.reserve(vocabulary.size());
  for (std::size_t i = 0; i < vocabulary.size(); ++i) {
    const std::string& piece = vocabulary.piece(static_cast<std::int64_t>(i));
    const bool usable = !piece.starts_with(kControlMark);  // no text holds that byte
    tokens.lengths.push_back(usable ? static_cast<std::uint32_t>(piece.size()) : 0);
    if (usable) tokens.bytes += piece;
  }
  return tokens;
}

LlgTokenizer* make_tokenizer(const GrammarLibrary& library, const Vocabulary& vocabulary,
                             std::span<const std::int32_t> end_tokens) {
  const TokenBytes tokens = bytes_of(vocabulary);
  const std::vector<std::uint32_t> ends(end_tokens.begin(), end_tokens.end());
  LlgTokenizerInitV2 init{};
  init.struct_size = sizeof(init);
  init.vocab_size = static_cast<std::uint32_t>(vocabulary.size());
  init.tok_eos = ends.empty() ? kNoToken : ends.front();
  init.token_lens = tokens.lengths.data();
  init.token_bytes = reinterpret_cast<const std::uint8_t*>(tokens.bytes.data());
  // The model chooses the tokens of text that the grammar forces; nothing is tokenized.
  init.use_approximate_greedy_tokenize_fn = true;
  if (ends.size() > 1) {
    init.tok_eos_extra = ends.data() + 1;
    init.tok_eos_extra_count = static_cast<std::uint32_t>(ends.size() - 1);
  }
  std::array<char, 512> error{};
  LlgTokenizer* tokenizer = library.new_tokenizer(&init, error.data(), error.size());
  if (tokenizer == nullptr) throw GrammarError(error.data());
  return tokenizer;
}

LlgMatcher* make_matcher(const GrammarVocabulary& vocabulary, const std::string& language, const std::string& source) {
  if (source.find('\0') != std::string::npos) throw GrammarError("it holds a null character");
  const GrammarLibrary& library = vocabulary.functions();
  LlgConstraintInit init{};
  library.set_defaults(&init, vocabulary.tokenizer());
  init.log_stderr_level = 0;
  init.limits.verbose_errors = false;
  init.limits.max_grammar_size = kMaxGrammarSize;
  return library.new_matcher(&init, language.c_str(), source.c_str());
}

// The library's message, as part of a sentence; nullptr where it has none.
std::string reason(const char* told) {
  if (told == nullptr) return "it cannot be followed any further";
  const std::string_view text(told);
  if (text.starts_with("NoExtensionBias")) return kNoneAllowed;
  return std::string(text.substr(0, text.find("\n<non-verbose/>")));
}

using Compilations = std::counting_semaphore<kMaxCompilations>;

Compilations& compilations() {
  static Compilations semaphore(kMaxCompilations);
  return semaphore;
}

}  // namespace

GrammarVocabulary::GrammarVocabulary(std::shared_ptr<const GrammarLibrary> library, const Vocabulary& vocabulary,
                                     std::span<const std::int32_t> end_tokens)
    : library_(std::move(library)),
      tokenizer_(make_tokenizer(*library_, vocabulary, end_tokens), library_->free_tokenizer) {}

Grammar::Grammar(std::shared_ptr<const GrammarVocabulary> vocabulary, const std::string& language,
                 const std::string& source)
    : vocabulary_(std::move(vocabulary)),
      start_(make_matcher(*vocabulary_, language, source), vocabulary_->functions().free_matcher) {
  if (const char* error = functions().get_error(start_.get()); error != nullptr) {
    throw GrammarError(reason(error));
  }
}

std::shared_ptr<const Grammar> Grammar::compile(std::shared_ptr<const GrammarVocabulary> vocabulary,
                                                std::string language, std::string source,
                                                std::chrono::milliseconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  if (!compilations().try_acquire_until(end)) throw GrammarTimeout("other grammars are being compiled");
  const std::shared_ptr<Compilations> turn(&compilations(), [](Compilations* all) { all->release(); });
  std::packaged_task<std::shared_ptr<const Grammar>()> task(
      [turn, vocabulary = std::move(vocabulary), language = std::move(language), source = std::move(source)] {
        auto grammar = std::make_shared<const Grammar>(vocabulary, language, source);
        GrammarMatcher(grammar).find_allowed(kAllTokens);  // refuses what allows nothing, or too much to find in one go
        return grammar;
      });
  auto compiled = task.get_future();
  std::thread(std::move(task)).detach();
  if (compiled.wait_until(end) == std::future_status::timeout) throw GrammarTimeout("it is too complex");
  return compiled.get();
}

GrammarMatcher::GrammarMatcher(std::shared_ptr<const Grammar> grammar)
    : grammar_(std::move(grammar)),
      matcher_(grammar_->functions().clone_matcher(grammar_->start()), grammar_->functions().free_matcher),
      allowed_(grammar_->functions().get_mask_byte_size(matcher_.get()) / sizeof(std::uint32_t)) {}

GrammarMatcher::GrammarMatcher(const GrammarMatcher& other)
    : grammar_(other.grammar_),
      matcher_(grammar_->functions().clone_matcher(other.matcher_.get()), grammar_->functions().free_matcher),
      allowed_(other.allowed_) {}

void GrammarMatcher::find_allowed(std::size_t tokens) {
  if (grammar_->functions().compute_mask_into(matcher_.get(), allowed_.data(), std::span(allowed_).size_bytes()) != 0) {
    fail();
  }
  if (tokens / 32 < allowed_.size()) {
    allowed_[tokens / 32] &= (1U << (tokens % 32)) - 1;
    std::fill(allowed_.begin() + static_cast<std::ptrdiff_t>(tokens / 32) + 1, allowed_.end(), 0U);
  }
  if (std::ranges::all_of(allowed_, [](std::uint32_t word) { return word == 0; })) throw GrammarError(kNoneAllowed);
}

void GrammarMatcher::accept(std::int32_t token) {
  if (grammar_->functions().consume_token(matcher_.get(), static_cast<std::uint32_t>(token)) != 0) fail();
}

void GrammarMatcher::fail() const { throw GrammarError(reason(grammar_->functions().get_error(matcher_.get()))); }

}  // namespace engine::runtime
