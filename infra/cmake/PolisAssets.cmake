# Files inside the binaries: polis_add_assets(<target>) for the web pages, polis_embed_migrations(<target> <dir>) for SQL.
#
# The assembler copies the files (.incbin): embedding megabytes costs milliseconds, where a C++ array of the same bytes costs seconds.
# Include this file at file scope, because CMake refuses to enable a language inside a function.
enable_language(ASM)

set(POLIS_DOCS_ASSETS AUTO CACHE STRING
    "Pages /docs, /redoc and /console: AUTO = when npm and its registry are at hand, ON = required, OFF = never")
set_property(CACHE POLIS_DOCS_ASSETS PROPERTY STRINGS AUTO ON OFF)

set(POLIS_ASSETS_CMAKE_DIR ${CMAKE_CURRENT_LIST_DIR})
get_filename_component(POLIS_ASSETS_INFRA_DIR ${CMAKE_CURRENT_LIST_DIR}/.. ABSOLUTE)

# Custom command that gets the npm packages into ${stage_dir}; the file ${stage_dir}.txt says "built", "failed" or "off".
function(_polis_stage_docs stage_dir)
  set(web_dir ${POLIS_ASSETS_INFRA_DIR}/web)
  # Looked up at every configure, so that npm which came or went since the last time is noticed.
  unset(POLIS_NPM CACHE)
  unset(POLIS_NODE CACHE)
  if(POLIS_DOCS_ASSETS)
    find_program(POLIS_NPM npm)
    find_program(POLIS_NODE NAMES node nodejs)
  endif()
  mark_as_advanced(POLIS_NPM POLIS_NODE)

  set(mode ${POLIS_DOCS_ASSETS})
  if(NOT POLIS_NPM OR NOT POLIS_NODE)
    string(TOUPPER "${mode}" upper_mode)
    if(mode AND NOT upper_mode STREQUAL "AUTO")
      message(FATAL_ERROR "POLIS_DOCS_ASSETS=${mode} needs npm and node. Install them, or set POLIS_DOCS_ASSETS=AUTO.")
    endif()
    message(STATUS "Polis: /docs, /redoc and /console are left out (no npm, or POLIS_DOCS_ASSETS=OFF)")
    set(mode OFF)
  endif()

  # An install that failed is tried again at the next configure, not at every build.
  if(EXISTS ${stage_dir}.txt)
    file(READ ${stage_dir}.txt state)
    if(state STREQUAL "failed")
      file(REMOVE ${stage_dir}.txt)
    endif()
  endif()

  # The command line holds the mode, so that changing it runs the command again.
  add_custom_command(OUTPUT ${stage_dir}.txt
    COMMAND ${CMAKE_COMMAND} -D MODE=${mode} -D NPM=${POLIS_NPM} -D NODE=${POLIS_NODE} -D WEB_DIR=${web_dir}
            -D STAGE_DIR=${stage_dir} -P ${POLIS_ASSETS_CMAKE_DIR}/StageDocs.cmake
    DEPENDS ${web_dir}/package.json ${web_dir}/package-lock.json ${web_dir}/.npmrc ${web_dir}/stage.mjs
            ${POLIS_ASSETS_CMAKE_DIR}/StageDocs.cmake
    COMMENT "Polis: npm packages of /docs, /redoc and /console" VERBATIM)
endfunction()

# Custom command and library: embeds what EmbedFiles.cmake finds for ${kind}, again whenever one of the DEPENDS changes.
function(_polis_add_embedded target kind source_dir stage_dir)
  set(table ${CMAKE_CURRENT_BINARY_DIR}/${target})
  # A file that disappears makes nothing newer; the list of names, rewritten only when it differs, does.
  file(CONFIGURE OUTPUT ${table}.inputs CONTENT "${ARGN}\n")
  add_custom_command(OUTPUT ${table}.S ${table}.cpp
    COMMAND ${CMAKE_COMMAND} -D KIND=${kind} -D SYMBOL=${target} -D SOURCE_DIR=${source_dir} -D STAGE_DIR=${stage_dir}
            -D TABLE=${table} -P ${POLIS_ASSETS_CMAKE_DIR}/EmbedFiles.cmake
    DEPENDS ${ARGN} ${table}.inputs ${POLIS_ASSETS_CMAKE_DIR}/EmbedFiles.cmake
    COMMENT "Polis: embedding ${kind}" VERBATIM)
  add_library(${target} STATIC ${table}.S ${table}.cpp)
  target_compile_features(${target} PUBLIC cxx_std_20)
endfunction()

function(polis_add_assets target)
  set(web_dir ${POLIS_ASSETS_INFRA_DIR}/web)
  set(stage_dir ${CMAKE_CURRENT_BINARY_DIR}/${target}_docs)
  _polis_stage_docs(${stage_dir})
  file(GLOB pages CONFIGURE_DEPENDS ${web_dir}/pages/* ${web_dir}/console/*)
  _polis_add_embedded(${target} web ${web_dir} ${stage_dir} ${web_dir}/openapi.json ${pages} ${stage_dir}.txt)
  target_include_directories(${target} PUBLIC ${web_dir}/include)
endfunction()

function(polis_embed_migrations target dir)
  get_filename_component(dir ${dir} ABSOLUTE)
  file(GLOB sql CONFIGURE_DEPENDS ${dir}/*.sql)
  _polis_add_embedded(${target} migrations ${dir} "" ${sql})
  target_include_directories(${target} PUBLIC ${POLIS_ASSETS_INFRA_DIR}/include)
endfunction()
