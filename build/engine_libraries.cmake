# Shortens the compiling of the speech engine's C++ libraries (docs/adr/0004-engine-build.md).
#
# Not a cross-compiling toolchain: it is the one place where the `cmake` crate lets us reach the builds inside the
# `onednn-src` and `ct2rs` crates, which pass no options through (.cargo/config.toml names this file).
# A change in here reaches existing target folders only when the file gets another name.
#
# Files of one UNITY_GROUP are compiled as one, so that the headers, most of the work, are read once. Where two of them
# give the same name to something of their own, the name is replaced by one that CMake makes for each file.
# What no longer goes together after an update of a library is told by the compiler: leave that file out of its group.

# All but the kernels, which have options of their own.
function(group_ctranslate2 target)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP UNITY_BUILD_UNIQUE_ID file_id
    UNITY_BUILD_CODE_BEFORE_INCLUDE "#define overlaps file_id" UNITY_BUILD_CODE_AFTER_INCLUDE "#undef overlaps")
  foreach(source IN LISTS ARGN)
    if(source MATCHES "/fish_dac_(transformer|upsample)\\.cc$" OR NOT source MATCHES "^src/")
      continue()
    elseif(source MATCHES "^src/(models|layers)/")
      set_source_files_properties(${source} PROPERTIES UNITY_GROUP models)
    elseif(source MATCHES "^src/ops/.*_cpu\\.cc$")
      set_source_files_properties(${source} PROPERTIES UNITY_GROUP ops_cpu)
    elseif(source MATCHES "^src/ops/")
      set_source_files_properties(${source} PROPERTIES UNITY_GROUP ops)
    elseif(source MATCHES "^src/[^/]*\\.cc$")
      set_source_files_properties(${source} PROPERTIES UNITY_GROUP base)
    endif()
  endforeach()
endfunction()

if(CMAKE_SOURCE_DIR MATCHES "CTranslate2$" AND NOT COMMAND _add_library)
  function(add_library target)
    _add_library(${ARGV})
    if(target STREQUAL "ctranslate2")
      # A way of its own, by matrix products, for the one operation that it would take oneDNN's primitives for.
      set_source_files_properties(src/ops/conv1d_cpu.cc PROPERTIES COMPILE_OPTIONS "-UCT2_WITH_DNNL")
      group_ctranslate2(${ARGV})
    endif()
  endfunction()
endif()

# In groups of a dozen. The lists of implementations go together; six of them stay alone, because the
# names of one are ambiguous in the other, and so do three other files, the last because it is large.
function(group_onednn target)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP UNITY_BUILD_UNIQUE_ID file_id
    UNITY_BUILD_CODE_BEFORE_INCLUDE "#define impl_list_map file_id")
  list(FILTER ARGN INCLUDE REGEX "\\.cpp$")
  list(FILTER ARGN EXCLUDE REGEX "/(eltwise|gemm|memory_zero_pad)\\.cpp$")
  list(FILTER ARGN EXCLUDE REGEX "/cpu_(convolution|deconvolution|inner_product|matmul|reduction|shuffle)_list\\.cpp$")
  set(count 0)
  foreach(source IN LISTS ARGN)
    if(source MATCHES "_list\\.cpp$")
      set_source_files_properties(${source} PROPERTIES UNITY_GROUP lists)
    else()
      math(EXPR group "${count} / 12")
      math(EXPR count "${count} + 1")
      set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${group})
    endif()
  endforeach()
endfunction()

# The files that write kernels as machine code at run time: optimising the writer gains nothing. Those that a program has
# written go together, once they have no options of their own.
function(group_onednn_x64 target)
  target_compile_options(${target} PRIVATE -O0)
  set(generated ${ARGN})
  list(FILTER generated INCLUDE REGEX "_autogen\\.cpp$")
  set_property(SOURCE ${generated} PROPERTY COMPILE_FLAGS)
  group_onednn(${target} ${generated})

  list(FILTER ARGN INCLUDE REGEX "\\.cpp$")
  list(FILTER ARGN EXCLUDE REGEX "_kern[^/]*\\.cpp$")
  set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS "-O1")
endfunction()

# With that way, all that is needed of oneDNN are its matrix products, which are always built. One primitive must be asked
# for: this is the smallest.
if(CMAKE_SOURCE_DIR MATCHES "oneDNN$" AND NOT COMMAND _add_library)
  set(ONEDNN_ENABLE_PRIMITIVE "SHUFFLE" CACHE STRING "" FORCE)
  set(CMAKE_CXX_FLAGS_RELEASE "-O1 -DNDEBUG" CACHE STRING "" FORCE)

  # ENABLE_PRIMITIVE only empties the tables of implementations; the files would still be compiled. Leave them out.
  # A file that is needed after all shows as an undefined symbol when the program is linked, never at run time.
  function(add_library target)
    list(FILTER ARGN EXCLUDE REGEX "/cpu/(matmul/[^c]|rnn/|ukernel/)[^/]*\\.cpp$")
    list(FILTER ARGN EXCLUDE REGEX "/cpu/(gemm_|ref_[a-rt-z]|ref_so|nchw|ncsp|nhwc|nspc|simple_[lr])[^/]*\\.cpp$")
    list(FILTER ARGN EXCLUDE REGEX "/x64/(brgemm|injectors|ir|lrn|matmul|prelu|rnn|ukernel|utils)/.*\\.cpp$")
    list(FILTER ARGN EXCLUDE REGEX
      "/x64/(jit_[a-t]|jit_uni_[abd-z]|jit_uni_c[^o]|gemm_|ip_|cpu_reducer)[^/]*\\.cpp$")
    _add_library(${target} ${ARGN})
    if(target STREQUAL "dnnl_cpu_x64")
      group_onednn_x64(${target} ${ARGN})
    elseif(target MATCHES "^dnnl_(common|cpu)$")
      group_onednn(${target} ${ARGN})
    endif()
  endfunction()
endif()
