# Shortens the compiling of the speech engine's C++ libraries (docs/adr/0004-engine-build.md).
#
# Not a cross-compiling toolchain: it is the one place where the `cmake` crate lets us reach the builds inside the
# `onednn-src` and `ct2rs` crates, which pass no options through (.cargo/config.toml names this file).
# A change in here reaches existing target folders only when the file gets another name.

# CTranslate2 has a way of its own, by matrix products, for the one operation that it would take oneDNN's primitives for.
if(CMAKE_SOURCE_DIR MATCHES "CTranslate2$" AND NOT COMMAND _add_library)
  function(add_library)
    set_source_files_properties(src/ops/conv1d_cpu.cc PROPERTIES COMPILE_OPTIONS "-UCT2_WITH_DNNL")
    _add_library(${ARGV})
  endfunction()
endif()

# So all that is needed of oneDNN are its matrix products, which are always built. One primitive must be asked for: this
# is the smallest.
if(CMAKE_SOURCE_DIR MATCHES "oneDNN$" AND NOT COMMAND _add_library)
  set(ONEDNN_ENABLE_PRIMITIVE "SHUFFLE" CACHE STRING "" FORCE)
  set(CMAKE_CXX_FLAGS_RELEASE "-O1 -DNDEBUG" CACHE STRING "" FORCE)

  # ENABLE_PRIMITIVE only empties the tables of implementations; the files would still be compiled. Leave them out.
  # A file that is needed after all shows as an undefined symbol when the program is linked, never at run time.
  function(add_library)
    set(arguments ${ARGV})
    list(FILTER arguments EXCLUDE REGEX "/cpu/(matmul/[^c]|rnn/|ukernel/)[^/]*\\.cpp$")
    list(FILTER arguments EXCLUDE REGEX "/cpu/(gemm_|ref_[a-rt-z]|ref_so|nchw|ncsp|nhwc|nspc|simple_[lr])[^/]*\\.cpp$")
    list(FILTER arguments EXCLUDE REGEX "/x64/(brgemm|injectors|ir|lrn|matmul|prelu|rnn|ukernel|utils)/.*\\.cpp$")
    list(FILTER arguments EXCLUDE REGEX
      "/x64/(jit_[a-t]|jit_uni_[abd-z]|jit_uni_c[^o]|gemm_|ip_|cpu_reducer)[^/]*\\.cpp$")
    # These write kernels as machine code at run time: optimising the writer gains nothing.
    foreach(source IN LISTS arguments)
      if(source MATCHES "_kern[^/]*\\.cpp$")
        set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "-O0")
      endif()
    endforeach()
    _add_library(${arguments})
  endfunction()
endif()
