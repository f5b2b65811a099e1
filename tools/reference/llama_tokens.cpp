// Token ids as llama.cpp computes them, with nothing of llama.cpp but its vocabulary code, which compiles in a minute
// where the whole takes an hour.
//
//   llama_tokens FILE.gguf ADD_SPECIAL PARSE_SPECIAL < texts > ids
//
// stdin: for each text its length in decimal, a line feed, its bytes. stdout: a line of ids for each. To make it (the
// fixtures are from the sources inside llama_cpp_python 0.3.36; an empty ggml-version.h with GGML_VERSION and
// GGML_COMMIT defined as "" has to be there):
//
//   L=path/to/llama.cpp
//   for f in $L/ggml/src/ggml{,-alloc,-quants}.c; do gcc -D_GNU_SOURCE -I. -I$L/ggml/include -I$L/ggml/src -c $f; done
//   g++ -std=c++17 -O1 -D_GNU_SOURCE -I. -I$L/src -I$L/include -I$L/ggml/include -I$L/ggml/src -o llama_tokens *.o
//     llama_tokens.cpp $L/ggml/src/{ggml,gguf,ggml-threading,ggml-backend}.cpp
//     $L/src/{llama-vocab,unicode,unicode-data,llama-arch,llama-impl,llama-mmap,llama-hparams,llama-model-loader}.cpp
#include "llama-arch.h"
#include "llama-model-loader.h"
#include "llama-vocab.h"

#include <cstdio>
#include <cstdlib>

// What the reader of models would want of the parts that are left out; reading a vocabulary calls none of it.
#define LEFT_OUT(name)                                                                                                 \
    extern "C" void name() {                                                                                           \
        abort();                                                                                                       \
    }
LEFT_OUT(ggml_backend_dev_by_type)
LEFT_OUT(llama_split_prefix)
LEFT_OUT(llama_split_path)
LEFT_OUT(ggml_backend_meta_buffer_set_usage)
LEFT_OUT(ggml_backend_meta_alloc_ctx_tensors_from_buft)
LEFT_OUT(ggml_backend_buffer_is_meta)
LEFT_OUT(ggml_backend_buft_is_meta)

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    std::vector<std::string> splits;
    llama_model_loader loader(nullptr, nullptr, nullptr, argv[1], splits, nullptr, LLAMA_LOAD_MODE_NONE, false, true,
                              false, nullptr, nullptr);
    llama_vocab vocab;
    vocab.load(loader, LLM_KV(LLM_ARCH_LLAMA));
    size_t n;
    while (scanf("%zu", &n) == 1) {
        getchar();
        std::string text(n, '\0');
        if (n > 0 && fread(&text[0], 1, n, stdin) != n) return 1;
        for (llama_token id : vocab.tokenize(text, atoi(argv[2]) != 0, atoi(argv[3]) != 0)) printf(" %d", id);
        printf("\n");
    }
}
