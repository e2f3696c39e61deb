# Script of PolisAssets.cmake: npm ci beside STAGE_DIR, then stage.mjs into it. STAGE_DIR.txt says "built", "failed" or "off".
# With MODE=AUTO a failure is a warning, and the pages say what is missing.
cmake_minimum_required(VERSION 3.25)
set(timeout_seconds 180)

file(REMOVE_RECURSE ${STAGE_DIR})
if(NOT MODE)
  file(WRITE ${STAGE_DIR}.txt "off")
  return()
endif()

# In a folder of its own: the source folder stays as it was checked out.
set(npm_dir ${STAGE_DIR}.npm)
file(REMOVE_RECURSE ${npm_dir})
file(COPY ${WEB_DIR}/package.json ${WEB_DIR}/package-lock.json ${WEB_DIR}/.npmrc DESTINATION ${npm_dir})
execute_process(COMMAND ${NPM} ci --no-progress WORKING_DIRECTORY ${npm_dir} TIMEOUT ${timeout_seconds}
                RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(result EQUAL 0)
  execute_process(COMMAND ${NODE} ${WEB_DIR}/stage.mjs ${npm_dir}/node_modules ${STAGE_DIR}
                  RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
endif()
# 64 MB of packages, of which 3 MB are staged.
file(REMOVE_RECURSE ${npm_dir})

if(result EQUAL 0)
  file(WRITE ${STAGE_DIR}.txt "built")
  return()
endif()
file(REMOVE_RECURSE ${STAGE_DIR})
string(TOUPPER "${MODE}" upper_mode)
if(NOT upper_mode STREQUAL "AUTO")
  message(FATAL_ERROR "The npm packages of /docs, /redoc and /console could not be installed (${result}):\n${output}")
endif()
message(WARNING "The npm packages of /docs, /redoc and /console could not be installed (${result}); the build goes on without these pages. "
                "Configure again to try once more.\n${output}")
file(WRITE ${STAGE_DIR}.txt "failed")
