/* C23 #embed (N3017): the compiler reads each file as it is. Alignment is that of tensor data in a mapped file. */
#include "CResources.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

#define RESOURCE(symbol) static const unsigned char symbol[] __attribute__((aligned(64)))

RESOURCE(model_config) = {
#embed "../../packaging/default-model/config.json"
};
RESOURCE(model_tokenizer) = {
#embed "../../packaging/default-model/tokenizer_config.json"
};
RESOURCE(model_vocabulary) = {
#embed "../../packaging/default-model/vocab.txt"
};
RESOURCE(model_own) = {
#embed "../../packaging/default-model/tiankong.json"
};
RESOURCE(model_weights) = {
#embed "../../packaging/default-model/model.safetensors"
};
RESOURCE(page_index) = {
#embed "page/index.html"
};
RESOURCE(page_style) = {
#embed "page/page.css"
};
RESOURCE(page_script) = {
#embed "page/page.js"
};
RESOURCE(page_icon) = {
#embed "page/favicon.svg"
};
RESOURCE(openapi) = {
#embed "openapi.json"
};
RESOURCE(suite_commerce) = {
#embed "../../suites/commerce.tsv"
};
RESOURCE(suite_idiom) = {
#embed "../../suites/idiom.tsv"
};
RESOURCE(suite_medical) = {
#embed "../../suites/medical.tsv"
};
RESOURCE(suite_official) = {
#embed "../../suites/official.tsv"
};
RESOURCE(suite_poetry) = {
#embed "../../suites/poetry.tsv"
};
RESOURCE(suite_tech) = {
#embed "../../suites/tech.tsv"
};

static const tk_resource resources[] = {
    {"model/config.json", model_config, sizeof model_config},
    {"model/tokenizer_config.json", model_tokenizer, sizeof model_tokenizer},
    {"model/vocab.txt", model_vocabulary, sizeof model_vocabulary},
    {"model/tiankong.json", model_own, sizeof model_own},
    {"model/model.safetensors", model_weights, sizeof model_weights},
    {"page/index.html", page_index, sizeof page_index},
    {"page/page.css", page_style, sizeof page_style},
    {"page/page.js", page_script, sizeof page_script},
    {"page/favicon.svg", page_icon, sizeof page_icon},
    {"openapi.json", openapi, sizeof openapi},
    {"suites/commerce.tsv", suite_commerce, sizeof suite_commerce},
    {"suites/idiom.tsv", suite_idiom, sizeof suite_idiom},
    {"suites/medical.tsv", suite_medical, sizeof suite_medical},
    {"suites/official.tsv", suite_official, sizeof suite_official},
    {"suites/poetry.tsv", suite_poetry, sizeof suite_poetry},
    {"suites/tech.tsv", suite_tech, sizeof suite_tech},
};

tk_resource tk_resource_at(size_t index) {
    static const tk_resource none = {NULL, NULL, 0};
    return index < sizeof resources / sizeof *resources ? resources[index] : none;
}
