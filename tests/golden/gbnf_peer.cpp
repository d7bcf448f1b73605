// llama.cpp's own reading of GBNF, without a model. On standard input, in hexadecimal: `G grammar` takes a grammar, `S text`
// asks whether the whole text is one of it. Answered with 1, 0, or ! for a grammar that is refused.
#include <cstdlib>
#include <iostream>
#include <string>

#include "llama-grammar.h"
#include "llama-impl.h"
#include "llama-vocab.h"

// What grammars do not need without tokens.
extern "C" void ggml_abort(const char*, int, const char*, ...) { std::abort(); }
void llama_log_internal(ggml_log_level, const char* format, ...) { std::cerr << format; }
bool llama_vocab::is_eog(llama_token) const { return false; }
const std::string& llama_vocab::token_to_piece(llama_token) const { static const std::string none; return none; }
int32_t llama_vocab::tokenize(const char*, int32_t, llama_token*, int32_t, bool, bool) const { return 0; }

static std::string bytes_of(const std::string& digits) {
  std::string bytes;
  for (size_t at = 0; at + 1 < digits.size(); at += 2) bytes += static_cast<char>(std::stoi(digits.substr(at, 2), nullptr, 16));
  return bytes;
}

static bool holds(llama_grammar& grammar, const std::string& text) {
  try {
    llama_grammar_accept_str(grammar, text);
  } catch (const std::exception&) {
    return false;
  }
  for (const auto& stack : llama_grammar_get_stacks(&grammar))
    if (stack.empty()) return true;
  return false;
}

int main() {
  std::string line, source;
  while (std::getline(std::cin, line)) {
    const std::string given = bytes_of(line.substr(2));
    if (line[0] == 'G') source = given;
    llama_grammar* grammar = llama_grammar_init_impl(nullptr, source.c_str(), "root", false, nullptr, 0, nullptr, 0);
    const char* answer = grammar == nullptr ? "!" : line[0] == 'G' || holds(*grammar, given) ? "1" : "0";
    std::cout << answer << std::endl;
    if (grammar != nullptr) llama_grammar_free_impl(grammar);
  }
}
