# What the program reads at run time: share/facet of an installation, and links to it in a build tree, which the program
# finds the same way (src/runtime/data_folder.h).
function(facet_data source destination)
  set(link ${CMAKE_BINARY_DIR}/share/facet/${destination})
  cmake_path(GET link PARENT_PATH folder)
  file(MAKE_DIRECTORY ${folder})
  # Relative, so that a clone may be moved with its build folder.
  file(RELATIVE_PATH relative ${folder} ${CMAKE_SOURCE_DIR}/${source})
  file(CREATE_LINK ${relative} ${link} SYMBOLIC)
  cmake_path(GET destination PARENT_PATH folder)
  set(target ${CMAKE_INSTALL_DATADIR}/facet/${folder})
  if(IS_DIRECTORY ${CMAKE_SOURCE_DIR}/${source})
    install(DIRECTORY ${source} DESTINATION ${target} USE_SOURCE_PERMISSIONS PATTERN __pycache__ EXCLUDE)
  else()
    cmake_path(GET destination FILENAME name)
    install(FILES ${source} DESTINATION ${target} RENAME ${name})
  endif()
endfunction()

facet_data(tests/reference/gemma4/vocab.gguf vocab/gemma4.gguf)
facet_data(tests/reference/gemma4/chat_template_openai.jinja templates/gemma4.jinja)
facet_data(models/pebble models/pebble)
facet_data(examples/pebble examples/pebble)
