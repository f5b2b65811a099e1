// Token ids as llama.cpp computes them, with nothing of llama.cpp but its vocabulary code.
//   llama_tokens FILE.gguf ADD_SPECIAL PARSE_SPECIAL < texts > ids
// stdin: for each text its length in decimal, a line feed, its bytes. stdout: a line of ids for each.
#include "llama-model-loader.h"
#include "llama-vocab.h"
#include "llama-arch.h"
#include <cstdio>
#include <cstdlib>
int main(int argc, char **argv) {
    if (argc != 4) return 2;
    gguf_init_params p = {true, nullptr};
    std::vector<std::string> splits;
    llama_model_loader ml(nullptr, nullptr, nullptr, argv[1], splits, nullptr, LLAMA_LOAD_MODE_NONE, false, true, false, nullptr, nullptr);
    llama_vocab vocab;
    LLM_KV kv(LLM_ARCH_LLAMA);
    vocab.load(ml, kv);
    size_t n;
    while (scanf("%zu", &n) == 1) {
        getchar();
        std::string text(n, '\0');
        if (n > 0 && fread(&text[0], 1, n, stdin) != n) return 1;
        for (llama_token id : vocab.tokenize(text, atoi(argv[2]), atoi(argv[3]))) printf(" %d", id);
        printf("\n");
    }
}
