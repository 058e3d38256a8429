# share/facet of a build tree: links to what an installed program has there (src/runtime/data_folder.h).
set(facet_share ${CMAKE_BINARY_DIR}/share/facet)
file(MAKE_DIRECTORY ${facet_share}/vocab ${facet_share}/models)
file(CREATE_LINK ${CMAKE_SOURCE_DIR}/tests/reference/gemma4/vocab.gguf ${facet_share}/vocab/gemma4.gguf SYMBOLIC)
file(CREATE_LINK ${CMAKE_SOURCE_DIR}/models/pebble ${facet_share}/models/pebble SYMBOLIC)
