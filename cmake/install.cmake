# cmake --install: everything below one prefix, which may be moved afterwards.
install(TARGETS facet_installed RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
if(TARGET facet_mpi)
  install(TARGETS facet_mpi LIBRARY DESTINATION lib/facet)  # where the program looks, on systems with lib64 too
endif()
install(FILES LICENSE README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

# The program writes its own man pages and completions.
if(NOT CMAKE_CROSSCOMPILING)
  set(generated ${CMAKE_BINARY_DIR}/generated)
  install(CODE "
    set(facet $<TARGET_FILE:facet>)
    file(MAKE_DIRECTORY ${generated})
    foreach(shell bash zsh fish)
      execute_process(COMMAND \${facet} completion \${shell} OUTPUT_FILE ${generated}/facet.\${shell} COMMAND_ERROR_IS_FATAL ANY)
    endforeach()
    execute_process(COMMAND \${facet} man ${generated}/man1 COMMAND_ERROR_IS_FATAL ANY)")
  install(FILES ${generated}/facet.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME facet)
  install(FILES ${generated}/facet.zsh DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions RENAME _facet)
  install(FILES ${generated}/facet.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
  install(DIRECTORY ${generated}/man1 DESTINATION ${CMAKE_INSTALL_MANDIR})
endif()

set(CPACK_PACKAGE_CONTACT "see SECURITY.md")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Runs, serves and tunes Gemma 4 Unified")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_GENERATOR TGZ DEB)
include(CPack)
