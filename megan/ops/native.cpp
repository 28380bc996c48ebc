// Task-batched 3x3 convolutions and batch norm for one CPU core, float and double.
//
// Every tensor has a leading task axis and is contiguous, channels last:
//     x [T, B, H, W, C]   w [T, 3, 3, C, O]   z [T, B, OH, OW, O]   padding 1, stride 1 or 2; or none, stride 2
// Each call runs on the calling thread only; scratch memory belongs to the thread, so calls
// from several threads are independent. Sums run in an order that depends on the shape of
// one task alone: a task's result does not depend on the other tasks.
// Built without -ffast-math: NaN and infinity in an input reach the output.

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>
#include <type_traits>

namespace {

using Int = long long;

// ---- vectors ---------------------------------------------------------------------------
#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif
// Vectors per tile: 6 x kWide accumulators must fit in the register file (16 or 32 registers).
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kWide = 4;
#else
constexpr int kWide = 2;
#endif
constexpr int kTile = 6;
constexpr Int kFew = 8;      // fewer channels than this are treated together with the taps
constexpr Int kChunk = 128;  // pixels at a time in the weight gradient

template <class F> struct Simd { typedef F type __attribute__((vector_size(kBytes))); };
template <class F> using Vec = typename Simd<F>::type;
template <class F> constexpr int kLanes = kBytes / int(sizeof(F));

template <class V, class F> inline V load(const F *p) { V v; std::memcpy(&v, p, sizeof v); return v; }
template <class V, class F> inline void store(F *p, const V &v) { std::memcpy(p, &v, sizeof v); }

// All lanes equal. Subtracting zero changes no value, so it compiles to a broadcast (adding does: -0).
template <class V, class F> inline V splat(F x) { return x - V{}; }

// A value the compiler must hold in a register: it would else load it again for each use.
template <class V> inline V held(V v) {
#if defined(__AVX__) && defined(__GNUC__)
    asm("" : "+v"(v));
#endif
    return v;
}

// Loops over registers.
#define UNROLL _Pragma("GCC unroll 8")

inline Int ceil_div(Int a, Int b) { return (a + b - 1) / b; }

// Scratch that one thread keeps between calls, one buffer for each `Use`.
enum Use { kPack, kZero, kPadded, kPatch, kRows, kOut, kTurned, kStats };
template <int use> void *scratch_bytes(size_t bytes) {
    struct Buffer {
        void *data = nullptr;
        size_t size = 0;
        ~Buffer() { std::free(data); }
    };
    static thread_local Buffer buffer;
    if (buffer.size < bytes) {
        std::free(buffer.data);
        buffer.size = 0;
        size_t rounded = (bytes + 4095) / 4096 * 4096;
        buffer.data = std::aligned_alloc(64, rounded);
        if (!buffer.data) throw std::bad_alloc();
        buffer.size = rounded;
    }
    return buffer.data;
}
template <int use, class F> F *scratch(Int n) { return static_cast<F *>(scratch_bytes<use>(sizeof(F) * size_t(n))); }

// ---- forward and data gradient: a matrix product that gathers its rows ---------------------
// Both are  out[pixel, :] = sum over taps of source[pixel + tap, :] @ W[tap],  W[tap] [K, N].
// A plan says which taps reach a set of output pixels. The forward pass is one plan; the data
// gradient is stride^2 plans, one for each parity of the input row and column, because the
// taps that reach an input pixel depend on that parity only.
struct Tap { Int row, col, index; };
struct Plan {
    Int rows, cols;                   // grid of output pixels
    Int first_row, first_col, step;   // output pixel (r, c) is at (first_row + step r, first_col + step c)
    Int source_step;                  // and tap t reads the source at source_step * (r, c) + (t.row, t.col)
    Int taps;
    Tap tap[9];
};

template <class F> struct Live { const F *weights; const F *source[kTile]; };

// P pixels x NV vectors of output channels, held in registers over all taps and input channels.
template <class F, int P, int NV>
void tile(const Live<F> *live, Int taps, Int K, Int ld, F *const *out, Int n0, Int width) {
    using V = Vec<F>;
    V acc[P][NV];
    UNROLL for (int p = 0; p < P; ++p)
        UNROLL for (int v = 0; v < NV; ++v) acc[p][v] = V{};
    for (Int t = 0; t < taps; ++t) {
        const F *w = live[t].weights;
        const F *s[P];
        UNROLL for (int p = 0; p < P; ++p) s[p] = live[t].source[p];
        for (Int k = 0; k < K; ++k, w += ld) {
            V b[NV];
            UNROLL for (int v = 0; v < NV; ++v) b[v] = held(load<V>(w + v * kLanes<F>));
            UNROLL for (int p = 0; p < P; ++p) {
                const V a = splat<V>(s[p][k]);
                UNROLL for (int v = 0; v < NV; ++v) acc[p][v] += a * b[v];
            }
        }
    }
    UNROLL for (int p = 0; p < P; ++p) {
        F rest[NV * kLanes<F>], *to = width == NV * kLanes<F> ? out[p] + n0 : rest;
        UNROLL for (int v = 0; v < NV; ++v) store(to + v * kLanes<F>, acc[p][v]);
        if (to == rest) std::copy(rest, rest + width, out[p] + n0);
    }
}

template <class F, int NV>
constexpr decltype(&tile<F, 1, NV>) kTiles[] = {tile<F, 1, NV>, tile<F, 2, NV>, tile<F, 3, NV>, tile<F, 4, NV>, tile<F, 5, NV>, tile<F, 6, NV>};

// Vectors in the tile that starts at channel n0 of N (the last vector may be partly outside).
template <class F> inline int tile_vectors(Int n0, Int N) {
    const Int left = ceil_div(N - n0, kLanes<F>);
    return left >= kWide ? kWide : left >= 2 ? 2 : 1;
}

#if defined(__clang__)
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, Index{__VA_ARGS__})
#endif

// to[k * ld + n] = from[n * K + k] for n < N, k < K: 4 x 4 at a time, in registers.
template <class F> void transpose(const F *from, Int N, Int K, F *to, Int ld) {
    typedef F Q __attribute__((vector_size(4 * sizeof(F))));
    typedef typename std::conditional<sizeof(F) == 4, int, Int>::type I;
    typedef I Index __attribute__((vector_size(4 * sizeof(F)), unused));
    const Int whole_n = N / 4 * 4, whole_k = K / 4 * 4;
    for (Int n = 0; n < whole_n; n += 4)
        for (Int k = 0; k < whole_k; k += 4) {
            const F *f = from + n * K + k;
            const Q a = load<Q>(f), b = load<Q>(f + K), c = load<Q>(f + 2 * K), d = load<Q>(f + 3 * K);
            const Q p = SHUFFLE(a, c, 0, 4, 1, 5), q = SHUFFLE(b, d, 0, 4, 1, 5);
            const Q r = SHUFFLE(a, c, 2, 6, 3, 7), s = SHUFFLE(b, d, 2, 6, 3, 7);
            const Q columns[4] = {SHUFFLE(p, q, 0, 4, 1, 5), SHUFFLE(p, q, 2, 6, 3, 7), SHUFFLE(r, s, 0, 4, 1, 5), SHUFFLE(r, s, 2, 6, 3, 7)};
            for (int i = 0; i < 4; ++i) store(to + (k + i) * ld + n, columns[i]);
        }
    for (Int n = 0; n < N; ++n)
        for (Int k = n < whole_n ? whole_k : 0; k < K; ++k) to[k * ld + n] = from[n * K + k];
}

// Weights of one task in the order in which the tiles read them: for each block of output
// channels [terms, taps, K, block], the last block filled up with zeros. Of w[tap] this reads
// [K, N] at w + tap K N, or [N, K] if `transposed`.
template <class F>
void pack(const F *const *w, Int terms, const Plan &plan, Int K, Int N, bool transposed, F *packed) {
    for (Int n0 = 0, block; n0 < N; n0 += block) {
        block = tile_vectors<F>(n0, N) * kLanes<F>;
        const Int width = std::min(block, N - n0);
        for (Int i = 0; i < terms * plan.taps; ++i, packed += K * block) {
            const F *from = w[i / plan.taps] + plan.tap[i % plan.taps].index * K * N + (transposed ? n0 * K : n0);
            if (width < block) std::memset(packed, 0, sizeof(F) * size_t(K * block));
            if (transposed) {
                transpose(from, width, K, packed, block);
            } else if (width < block) {
                for (Int k = 0; k < K; ++k) std::copy(from + k * N, from + k * N + width, packed + k * block);
            } else {
                for (Int k = 0; k < K; ++k)
                    for (Int v = 0; v < block; v += kLanes<F>) store(packed + k * block + v, load<Vec<F>>(from + k * N + v));
            }
        }
    }
}

// One tile's pixels against all output channels. `row[t]`: where the weights of live tap t start in
// a block, in rows. The weights are packed (ld 0), or [rows, N] as they came (ld N, whole vectors).
template <class F>
void tile_row(Int P, Live<F> *live, const Int *row, Int taps, Int K, const F *weights, Int rows, Int ld, F *const *out, Int N) {
    for (Int n0 = 0, block; n0 < N; n0 += block) {
        const int vectors = tile_vectors<F>(n0, N);
        block = vectors * kLanes<F>;
        const Int width = std::min(block, N - n0), step = ld ? ld : block;
        for (Int t = 0; t < taps; ++t) live[t].weights = weights + row[t] * step;
        const auto &tiles = vectors == kWide ? kTiles<F, kWide> : vectors == 2 ? kTiles<F, 2> : kTiles<F, 1>;
        tiles[P - 1](live, taps, K, step, out, n0, width);
        weights += ld ? block : rows * block;
    }
}

// [H, W, K] -> [H + 2, W + 2, K] with a border of zeros.
template <class F> void pad(const F *image, Int H, Int W, Int K, F *padded) {
    std::memset(padded, 0, sizeof(F) * size_t((H + 2) * (W + 2) * K));
    for (Int r = 0; r < H; ++r) std::copy(image + r * W * K, image + (r + 1) * W * K, padded + ((r + 1) * (W + 2) + 1) * K);
}

// The shapes of the source and result of a product: [B, SH, SW, K] -> [B, DH, DW, N].
struct Sizes { Int B, SH, SW, K, DH, DW, N; };

inline Int result_index(const Sizes &s, const Plan &plan, Int b, Int r, Int c) {
    return ((b * s.DH + plan.first_row + r * plan.step) * s.DW + plan.first_col + c * plan.step) * s.N;
}

// The general product, or the sum of two (`terms`) of equal shapes. A tile is one position in 4 to 6 images, so that taps in the padding are
// left out whole. Where the images cannot be split that way, it is 6 pixels in a row and the
// padding is read as zeros.
template <class F>
void product(Int terms, const F *const *sources, const F *const *w, bool transposed, F *out, const Sizes &s, const Plan &plan) {
    // For a few pixels, packing weights that vectors can read in place costs more than it saves.
    const bool direct = terms == 1 && !transposed && s.N % kLanes<F> == 0 && s.B * plan.rows * plan.cols < 128;
    const Int depth = terms * plan.taps * s.K;
    F *packed = direct ? nullptr : scratch<kPack, F>(depth * ceil_div(s.N, kLanes<F>) * kLanes<F>);
    if (!direct) pack(w, terms, plan, s.K, s.N, transposed, packed);
    F *zero = scratch<kZero, F>(s.K);
    std::fill(zero, zero + s.K, F(0));
    Int groups = std::max<Int>(1, ceil_div(s.B, kTile));
    const bool aligned = s.B / groups >= 4;
    if (!aligned) groups = 1;
    for (Int g = 0; g < groups; ++g) {
        const Int b0 = s.B * g / groups, images = s.B * (g + 1) / groups - b0;
        const Int most = aligned ? images : kTile, total = plan.rows * plan.cols * images;
        Int b = b0, r = 0, c = 0;  // image fastest, then column, then row
        Int from = b0 * s.SH * s.SW * s.K;  // in each source
        F *to = out + result_index(s, plan, b0, 0, 0);
        for (Int done = 0; done < total; done += most) {
            const Int P = std::min(most, total - done);
            Live<F> live[2 * 9];
            F *result[kTile];
            Int at[kTile], row[kTile], col[kTile], rows[2 * 9], taps = 0;
            for (Int p = 0; p < P; ++p) {
                row[p] = r * plan.source_step, col[p] = c * plan.source_step;
                at[p] = from, result[p] = to;
                from += s.SH * s.SW * s.K, to += s.DH * s.DW * s.N;
                if (++b < b0 + images) continue;
                b = b0;
                if (++c == plan.cols) c = 0, ++r;
                from = ((b0 * s.SH + r * plan.source_step) * s.SW + c * plan.source_step) * s.K;
                to = out + result_index(s, plan, b0, r, c);
            }
            for (Int i = 0; i < terms * plan.taps; ++i) {
                const Tap &tap = plan.tap[i % plan.taps];
                const F *source = sources[i / plan.taps] + (tap.row * s.SW + tap.col) * s.K;
                const auto inside = [&](Int p) { return size_t(row[p] + tap.row) < size_t(s.SH) && size_t(col[p] + tap.col) < size_t(s.SW); };
                if (aligned) {
                    if (!inside(0)) continue;
                    for (Int p = 0; p < P; ++p) live[taps].source[p] = source + at[p];
                } else {
                    for (Int p = 0; p < P; ++p) live[taps].source[p] = inside(p) ? source + at[p] : zero;
                }
                rows[taps++] = i * s.K;
            }
            tile_row<F>(P, live, rows, taps, s.K, direct ? w[0] : packed, depth, direct ? s.N : 0, result, s.N);
        }
    }
}

// A few input channels would make each tap too short a loop: copy a pixel's taps into one row.
template <class F>
void product_of_patches(const F *source, const F *w, bool transposed, F *out, const Sizes &s, const Plan &plan) {
    const Int depth = plan.taps * s.K, PW = s.SW + 2, total = plan.rows * plan.cols;
    F *packed = scratch<kPack, F>(depth * ceil_div(s.N, kLanes<F>) * kLanes<F>);
    pack(&w, 1, plan, s.K, s.N, transposed, packed);
    F *padded = scratch<kPadded, F>((s.SH + 2) * PW * s.K), *patch = scratch<kPatch, F>(kTile * depth);
    Int offset[9 * kFew];
    for (Int i = 0; i < depth; ++i) offset[i] = (plan.tap[i / s.K].row * PW + plan.tap[i / s.K].col) * s.K + i % s.K;
    // A forward pass needs no copy: three taps side by side are one row of the padded image. The order of the sums is the same.
    bool forward = plan.taps == 9;
    for (Int t = 0; t < plan.taps; ++t) forward = forward && plan.tap[t].row == t / 3 - 1 && plan.tap[t].col == t % 3 - 1;
    Live<F> live[3];
    for (Int p = 0; p < kTile; ++p) live[0].source[p] = patch + p * depth;
    const Int starts[3] = {0, 3 * s.K, 6 * s.K};
    for (Int b = 0; b < s.B; ++b) {
        pad(source + b * s.SH * s.SW * s.K, s.SH, s.SW, s.K, padded);
        Int r = 0, c = 0;
        for (Int done = 0; done < total; done += kTile) {
            const Int P = std::min<Int>(kTile, total - done);
            F *to[kTile];
            for (Int p = 0; p < P; ++p) {
                const F *from = padded + ((r * plan.source_step + 1) * PW + c * plan.source_step + 1) * s.K;
                if (forward) {
                    for (Int i = 0; i < 3; ++i) live[i].source[p] = from + ((i - 1) * PW - 1) * s.K;
                } else {
                    for (Int i = 0; i < depth; ++i) patch[p * depth + i] = from[offset[i]];
                }
                to[p] = out + result_index(s, plan, b, r, c);
                if (++c == plan.cols) { c = 0; ++r; }
            }
            tile_row<F>(P, live, starts, forward ? 3 : 1, forward ? 3 * s.K : depth, packed, depth, 0, to, s.N);
        }
    }
}

// A few output channels would leave most of a vector empty: let the 9 taps be output channels,
// y[pixel, tap, n] = source[pixel] @ w[tap], and add the taps up afterwards.
template <class F>
void product_by_taps(const F *source, const F *w, bool transposed, F *out, const Sizes &s, const Plan *plans, Int count) {
    const Int columns = 9 * s.N, ld = ceil_div(columns, kLanes<F>) * kLanes<F>, PW = s.SW + 2, total = s.SH * s.SW;
    F *wide = scratch<kRows, F>(s.K * columns), *packed = scratch<kPack, F>(s.K * ld);
    for (Int i = 0; i < 9 * s.N; ++i)
        for (Int k = 0; k < s.K; ++k)
            wide[k * columns + i] = w[i / s.N * s.K * s.N + (transposed ? i % s.N * s.K + k : k * s.N + i % s.N)];
    const Plan one{0, 0, 0, 0, 1, 1, 1, {{0, 0, 0}}};
    const F *const all_taps = wide;
    pack(&all_taps, 1, one, s.K, columns, false, packed);
    F *y = scratch<kPadded, F>((s.SH + 2) * PW * ld);
    std::memset(y, 0, sizeof(F) * size_t((s.SH + 2) * PW * ld));  // the border stays zero
    const Int start = 0;
    for (Int b = 0; b < s.B; ++b) {
        for (Int done = 0; done < total; done += kTile) {
            const Int P = std::min<Int>(kTile, total - done);
            Live<F> live;
            F *to[kTile];
            for (Int p = 0; p < P; ++p) {
                live.source[p] = source + (b * total + done + p) * s.K;
                to[p] = y + (((done + p) / s.SW + 1) * PW + (done + p) % s.SW + 1) * ld;
            }
            tile_row<F>(P, &live, &start, 1, s.K, packed, s.K, 0, to, ld);
        }
        for (const Plan *plan = plans; plan < plans + count; ++plan) {
            Int offset[9];
            for (Int t = 0; t < plan->taps; ++t)
                offset[t] = (plan->tap[t].row * PW + plan->tap[t].col) * ld + plan->tap[t].index * s.N;
            for (Int r = 0; r < plan->rows; ++r)
                for (Int c = 0; c < plan->cols; ++c) {
                    const F *from = y + ((r * plan->source_step + 1) * PW + c * plan->source_step + 1) * ld;
                    F *to = out + result_index(s, *plan, b, r, c);
                    for (Int n = 0; n < s.N; ++n) {
                        F sum = 0;
                        for (Int t = 0; t < plan->taps; ++t) sum += from[offset[t] + n];
                        to[n] = sum;
                    }
                }
        }
    }
}

// The sources and weights of a convolution of each task, or of two whose results are added (`terms`).
template <class F> struct Terms { Int terms; const F *source[2], *w[2]; };

template <class F>
void products(Terms<F> of, bool transposed, F *out, Int T, const Sizes &s, const Plan *plans, Int count) {
    const Int results = s.B * s.DH * s.DW * s.N;
    const bool by_taps = 2 * s.N <= kLanes<F> && s.K >= kFew, plain = !by_taps && s.K >= kFew;
    F *other = of.terms > 1 && !plain ? scratch<kOut, F>(results) : nullptr;
    for (Int t = 0; t < T; ++t) {
        if (plain) {
            for (const Plan *plan = plans; plan < plans + count; ++plan) product<F>(of.terms, of.source, of.w, transposed, out, s, *plan);
        } else {
            for (Int i = 0; i < of.terms; ++i) {
                F *to = i ? other : out;
                if (by_taps) {
                    product_by_taps(of.source[i], of.w[i], transposed, to, s, plans, count);
                } else {
                    for (const Plan *plan = plans; plan < plans + count; ++plan) product_of_patches<F>(of.source[i], of.w[i], transposed, to, s, *plan);
                }
            }
            if (other) for (Int k = 0; k < results; ++k) out[k] += other[k];
        }
        for (Int i = 0; i < of.terms; ++i) of.source[i] += s.B * s.SH * s.SW * s.K, of.w[i] += 9 * s.K * s.N;
        out += results;
    }
}

// Output rows (or columns) of an image with `size` rows (or columns).
inline Int outputs(Int size, Int stride, Int padding) { return (size + 2 * padding - 3) / stride + 1; }

template <class F>
void conv(Terms<F> of, F *z, Int T, Int B, Int H, Int W, Int C, Int O, Int stride, Int padding) {
    const Int OH = outputs(H, stride, padding), OW = outputs(W, stride, padding);
    Plan plan{OH, OW, 0, 0, 1, stride, 9, {}};
    for (Int t = 0; t < 9; ++t) plan.tap[t] = {t / 3 - padding, t % 3 - padding, t};
    products<F>(of, false, z, T, {B, H, W, C, OH, OW, O}, &plan, 1);
}

template <class F>
void conv_data_grad(Terms<F> of, F *dx, Int T, Int B, Int H, Int W, Int C, Int O, Int stride, Int padding) {
    Plan plans[4];
    Int count = 0;
    for (Int pr = 0; pr < std::min(stride, H); ++pr)
        for (Int pc = 0; pc < std::min(stride, W); ++pc) {
            Plan &plan = plans[count++] = {(H - pr - 1) / stride + 1, (W - pc - 1) / stride + 1, pr, pc, stride, 1, 0, {}};
            for (Int i = 0; i < 3; ++i)
                for (Int j = 0; j < 3; ++j)
                    if ((pr + padding - i) % stride == 0 && (pc + padding - j) % stride == 0)
                        plan.tap[plan.taps++] = {(pr + padding - i) / stride, (pc + padding - j) / stride, i * 3 + j};
        }
    products<F>(of, true, dx, T, {B, outputs(H, stride, padding), outputs(W, stride, padding), O, H, W, C}, plans, count);
}

// ---- weight gradient: for each tap, a sum over pixels of outer products -------------------
// Taken over chunks of pixels, so that their rows stay in the caches over all tiles.
// With `add` the result is added to dw.
// R rows (broadcast from a) x NV vectors (from b) of the sum over pixels of a[i]^T b[at[i]].
template <class F, int R, int NV>
void outer(const F *const *a, const int *at, Int pixels, Int r0, const F *b, F *out, Int ld, bool add) {
    using V = Vec<F>;
    V acc[R][NV];
    UNROLL for (int r = 0; r < R; ++r)
        UNROLL for (int v = 0; v < NV; ++v) acc[r][v] = add ? load<V>(out + r * ld + v * kLanes<F>) : V{};
    for (Int i = 0; i < pixels; ++i) {
        const F *s = a[i] + r0, *d = b + at[i] * (NV * kLanes<F>);
        V y[NV];
        UNROLL for (int v = 0; v < NV; ++v) y[v] = held(load<V>(d + v * kLanes<F>));
        UNROLL for (int r = 0; r < R; ++r) {
            const V x = splat<V>(s[r]);
            UNROLL for (int v = 0; v < NV; ++v) acc[r][v] += x * y[v];
        }
    }
    UNROLL for (int r = 0; r < R; ++r)
        UNROLL for (int v = 0; v < NV; ++v) store(out + r * ld + v * kLanes<F>, acc[r][v]);
}
template <class F, int NV>
constexpr decltype(&outer<F, 1, NV>) kOuters[] = {outer<F, 1, NV>, outer<F, 2, NV>, outer<F, 3, NV>, outer<F, 4, NV>, outer<F, 5, NV>, outer<F, 6, NV>};

// All tiles: out [rows, N], N a whole number of vectors, b in blocks of kChunk pixels.
template <class F>
void outer_product(const F *const *a, const int *at, Int pixels, Int rows, Int N, const F *b, F *out, bool add) {
    const Int parts = ceil_div(rows, kTile);
    for (Int n0 = 0, block; n0 < N; n0 += block, b += kChunk * block) {
        const int vectors = tile_vectors<F>(n0, N);
        const auto &outers = vectors == kWide ? kOuters<F, kWide> : vectors == 2 ? kOuters<F, 2> : kOuters<F, 1>;
        block = vectors * kLanes<F>;
        for (Int part = 0; part < parts; ++part) {
            const Int r0 = rows * part / parts, R = rows * (part + 1) / parts - r0;
            outers[R - 1](a, at, pixels, r0, b, out + r0 * N + n0, N, add);
        }
    }
}

template <class F>
void conv_weight_grad(const F *x, const F *dz, F *dw, Int T, Int B, Int H, Int W, Int C, Int O, Int stride, Int padding, bool add = false) {
    if (stride == 1 && O < kFew && C >= kFew) {
        // Vectors along C: the same sum seen from x, where dz is read at the opposite tap.
        F *turned = scratch<kTurned, F>(9 * O * C);
        for (Int task = 0; task < T; ++task, x += B * H * W * C, dz += B * H * W * O, dw += 9 * C * O) {
            conv_weight_grad(dz, x, turned, 1, B, H, W, O, C, 1, 1);
            for (Int t = 0; t < 9; ++t)
                for (Int o = 0; o < O; ++o)
                    for (Int c = 0; c < C; ++c) {
                        F &to = dw[(t * C + c) * O + o];
                        to = (add ? to : F(0)) + turned[((8 - t) * O + o) * C + c];
                    }
        }
        return;
    }
    const Int OH = outputs(H, stride, padding), OW = outputs(W, stride, padding), pixels = B * OH * OW;
    const Int N = ceil_div(O, kLanes<F>) * kLanes<F>, PW = W + 2;
    const bool patches = C < kFew;  // all taps of a pixel as one row
    F *b = scratch<kRows, F>(kChunk * N), *sum = N == O ? nullptr : scratch<kOut, F>(9 * C * N);
    F *padded = patches ? scratch<kPadded, F>((H + 2) * PW * C) : nullptr, *patch = patches ? scratch<kPatch, F>(kChunk * 9 * C) : nullptr;
    Int offset[9 * kFew];
    if (patches) for (Int i = 0; i < 9 * C; ++i) offset[i] = ((i / C / 3 + 1 - padding) * PW + i / C % 3 + 1 - padding) * C + i % C;
    const F *from[kChunk], *a[kChunk];
    int row[kChunk], col[kChunk], at[kChunk];
    for (Int task = 0; task < T; ++task, x += B * H * W * C, dz += pixels * O, dw += 9 * C * O) {
        F *out = sum ? sum : dw;
        if (pixels == 0 && !add) std::fill(dw, dw + 9 * C * O, F(0));
        Int image = 0, r = 0, c = 0;
        for (Int p0 = 0; p0 < pixels; p0 += kChunk) {
            const Int P = std::min(kChunk, pixels - p0);
            F *to = b;  // dz in blocks of channels, for each its pixels: the tiles read one block at a time
            for (Int n0 = 0, block; n0 < O; n0 += block, to += kChunk * block) {
                block = tile_vectors<F>(n0, O) * kLanes<F>;
                const Int width = std::min(block, O - n0);
                for (Int p = 0; p < P; ++p) {
                    const F *d = dz + (p0 + p) * O + n0;
                    if (width == block) {
                        for (Int v = 0; v < block; v += kLanes<F>) store(to + p * block + v, load<Vec<F>>(d + v));
                    } else {
                        std::copy(d, d + width, to + p * block);
                        std::fill(to + p * block + width, to + (p + 1) * block, F(0));
                    }
                }
            }
            for (Int p = 0; p < P; ++p) {
                row[p] = int(r * stride), col[p] = int(c * stride);
                from[p] = x + ((image * H + row[p]) * W + col[p]) * C;
                if (patches) {
                    if (r == 0 && c == 0) pad(x + image * H * W * C, H, W, C, padded);
                    a[p] = patch + p * 9 * C, at[p] = int(p);
                    for (Int i = 0; i < 9 * C; ++i) patch[p * 9 * C + i] = padded[(row[p] * PW + col[p]) * C + offset[i]];
                }
                if (++c == OW) { c = 0; if (++r == OH) { r = 0; ++image; } }
            }
            if (patches) {
                outer_product(a, at, P, 9 * C, N, b, out, p0 > 0 || (add && !sum));
                continue;
            }
            for (Int t = 0; t < 9; ++t) {
                const Int i = t / 3 - padding, j = t % 3 - padding, shift = (i * W + j) * C;
                Int n = 0;  // pixels whose tap is not in the padding
                for (Int p = 0; p < P; ++p) {
                    a[n] = from[p] + shift, at[n] = int(p);
                    n += size_t(row[p] + i) < size_t(H) && size_t(col[p] + j) < size_t(W);
                }
                outer_product(a, at, n, C, N, b, out + t * C * N, p0 > 0 || (add && !sum));
            }
        }
        if (sum && pixels)
            for (Int k = 0; k < 9 * C; ++k)
                for (Int o = 0; o < O; ++o) dw[k * O + o] = (add ? dw[k * O + o] : F(0)) + sum[k * N + o];
    }
}

// ---- batch norm and ReLU --------------------------------------------------------------
// One task is n rows of O channels. Sums over a block of rows are taken in F and added up in double;
// the variance is summed about the mean of the first block, so that a large mean costs no digits.
constexpr Int kBlock = 64;  // rows
constexpr Int kStep = 8;    // rows that one set of loaded constants serves: few, to read memory in order

// Calls body(type, o) for U vectors of channels at a time, then for what is left, single channels last.
template <class V_, int U_> struct Group { using V = V_; static constexpr int U = U_; };
template <class F, int U, class Body> void channels(Int O, const Body &body) {
    Int o = 0;
    for (; o + U * kLanes<F> <= O; o += U * kLanes<F>) body(Group<Vec<F>, U>(), o);
    if (U > 1) for (; o + kLanes<F> <= O; o += kLanes<F>) body(Group<Vec<F>, 1>(), o);
    for (; o < O; ++o) body(Group<F, 1>(), o);
}

template <bool relu, class V> inline V masked(V y, V value) { return relu ? (y <= 0 ? V{} : value) : value; }  // NaN stays, as in torch

// One task's inputs and what every pass computes from them in the same way: the masks must agree.
template <class F, bool relu> struct Task {
    const F *z, *mean, *rstd, *gamma, *beta, *da, *uz;
    template <class V> struct At {  // some channels
        V mean, rstd, gamma, beta;
        V xhat(V z) const { return (z - mean) * rstd; }
        V y(V xhat) const { return gamma * xhat + beta; }
    };
    template <class V> At<V> at(Int o) const { return {load<V>(mean + o), load<V>(rstd + o), load<V>(gamma + o), load<V>(beta + o)}; }
};

// Mean and 1 / sqrt(variance + eps) of one task's n rows, each [O].
template <class F>
void statistics(const F *z, F *mean_out, F *rstd_out, Int n, Int O, double eps) {
    double *sums = scratch<kStats, double>(2 * O);
    F *part = scratch<kRows, F>(3 * O), *pilot = part + 2 * O;
    std::fill(sums, sums + 2 * O, 0.0);
    std::fill(pilot, pilot + O, F(0));
    // The first block twice: for the pilot, then with the others.
    for (Int i0 = 0, pass = 0; i0 < n; i0 += pass++ ? kBlock : 0) {
        const Int rows = std::min(kBlock, n - i0);
        channels<F, 4>(O, [&](auto group, Int o) {
            using V = typename decltype(group)::V;
            constexpr int U = decltype(group)::U, L = sizeof(V) / sizeof(F);
            V s[U] = {}, q[U] = {}, c[U];
            UNROLL for (int u = 0; u < U; ++u) c[u] = load<V>(pilot + o + u * L);
            for (Int i = i0; i < i0 + rows; ++i)
                UNROLL for (int u = 0; u < U; ++u) {
                    const V d = load<V>(z + i * O + o + u * L) - c[u];
                    s[u] += d, q[u] += d * d;
                }
            UNROLL for (int u = 0; u < U; ++u) store(part + o + u * L, s[u]), store(part + O + o + u * L, q[u]);
        });
        if (pass == 0) {
            for (Int o = 0; o < O; ++o) pilot[o] = part[o] / F(rows);
        } else {
            for (Int k = 0; k < 2 * O; ++k) sums[k] += double(part[k]);
        }
    }
    for (Int o = 0; o < O; ++o) {
        const double shift = sums[o] / double(n), variance = sums[O + o] / double(n) - shift * shift;
        mean_out[o] = F(double(pilot[o]) + shift);
        rstd_out[o] = F(1.0 / std::sqrt((variance < 0 ? 0 : variance) + eps));
    }
}

template <class F, bool relu>
void norm(const F *z, const F *gamma, const F *beta, F *a, F *mean_out, F *rstd_out, Int T, Int n, Int O, double eps) {
    for (Int task = 0; task < T; ++task, z += n * O, a += n * O, gamma += O, beta += O, mean_out += O, rstd_out += O) {
        statistics(z, mean_out, rstd_out, n, O, eps);
        const Task<F, relu> t{z, mean_out, rstd_out, gamma, beta, nullptr, nullptr};
        for (Int i0 = 0; i0 < n; i0 += kStep)
            channels<F, 1>(O, [&, last = std::min(n, i0 + kStep)](auto group, Int o) {
                using V = typename decltype(group)::V;
                const auto f = t.template at<V>(o);
                for (Int i = i0; i < last; ++i) {
                    const V y = f.y(f.xhat(load<V>(z + i * O + o)));
                    store(a + i * O + o, masked<relu, V>(y, y));
                }
            });
    }
}

// Means over rows [5, O] of g = mask da, g xhat and, if `second`, of uz, uz xhat and uz g.
template <class F, bool relu, bool second>
void gradient_means(const Task<F, relu> &t, Int n, Int O, double *means, F *part) {
    constexpr int S = second ? 5 : 2;
    std::fill(means, means + S * O, 0.0);
    for (Int i0 = 0; i0 < n; i0 += kBlock) {
        const Int end = std::min(n, i0 + kBlock);
        std::fill(part, part + S * O, F(0));
        for (Int j0 = i0; j0 < end; j0 += kStep)
            channels<F, 2>(O, [&, last = std::min(end, j0 + kStep)](auto group, Int o) {
                using V = typename decltype(group)::V;
                constexpr int U = decltype(group)::U, L = sizeof(V) / sizeof(F);
                V s[U][S];
                UNROLL for (int u = 0; u < U; ++u)
                    UNROLL for (int k = 0; k < S; ++k) s[u][k] = load<V>(part + k * O + o + u * L);
                for (Int i = j0; i < last; ++i)
                    UNROLL for (int u = 0; u < U; ++u) {
                        const Int at = i * O + o + u * L;
                        const auto f = t.template at<V>(o + u * L);
                        const V xhat = f.xhat(load<V>(t.z + at)), g = masked<relu, V>(f.y(xhat), load<V>(t.da + at));
                        s[u][0] += g, s[u][1] += g * xhat;
                        if constexpr (second) {
                            const V y = load<V>(t.uz + at);
                            s[u][2] += y, s[u][3] += y * xhat, s[u][4] += y * g;
                        }
                    }
                UNROLL for (int u = 0; u < U; ++u)
                    UNROLL for (int k = 0; k < S; ++k) store(part + k * O + o + u * L, s[u][k]);
            });
        for (Int k = 0; k < S * O; ++k) means[k] += double(part[k]);
    }
    for (Int k = 0; k < S * O; ++k) means[k] /= double(n);
}

// The coefficients [3, O] of g, xhat and 1 in dz, from the means; and the sums dgamma and dbeta [O].
template <class F, bool relu>
void first_coefficients(const Task<F, relu> &t, Int n, Int O, const double *means, F *part, F *dgamma, F *dbeta) {
    for (Int o = 0; o < O; ++o) {
        const double scale = double(t.gamma[o]) * double(t.rstd[o]), g = means[o], gx = means[O + o];
        dbeta[o] = F(g * double(n)), dgamma[o] = F(gx * double(n));
        part[o] = F(scale), part[O + o] = F(-scale * gx), part[2 * O + o] = F(-scale * g);
    }
}

// dz = gamma r (g - mean(g) - xhat mean(g xhat)), a combination of g, xhat and 1 for each channel.
template <class F, bool relu>
void norm_grad(const F *z, const F *mean, const F *rstd, const F *gamma, const F *beta, const F *da,
               F *dz, F *dgamma, F *dbeta, Int T, Int n, Int O) {
    double *means = scratch<kStats, double>(2 * O);
    F *part = scratch<kRows, F>(3 * O);
    for (Int task = 0; task < T; ++task) {
        const Task<F, relu> t{z + task * n * O, mean + task * O, rstd + task * O, gamma + task * O, beta + task * O, da + task * n * O, nullptr};
        gradient_means<F, relu, false>(t, n, O, means, part);
        first_coefficients(t, n, O, means, part, dgamma + task * O, dbeta + task * O);
        F *to = dz + task * n * O;
        for (Int i0 = 0; i0 < n; i0 += kStep)
            channels<F, 1>(O, [&, last = std::min(n, i0 + kStep)](auto group, Int o) {
                using V = typename decltype(group)::V;
                const auto f = t.template at<V>(o);
                const V of_g = load<V>(part + o), of_xhat = load<V>(part + O + o), of_one = load<V>(part + 2 * O + o);
                for (Int i = i0; i < last; ++i) {
                    const Int at = i * O + o;
                    const V xhat = f.xhat(load<V>(t.z + at)), g = masked<relu, V>(f.y(xhat), load<V>(t.da + at));
                    store(to + at, V(of_g * g + (of_xhat * xhat + of_one)));
                }
            });
    }
}

// The coefficients [7, O] of the second derivatives below, from the means; and grad_gamma [O].
template <class F, bool relu>
void second_coefficients(const Task<F, relu> &t, Int n, Int O, const double *means, F *part, const F *ug, const F *ub, F *grad_gamma) {
    for (Int o = 0; o < O; ++o) {
        const double r = t.rstd[o], scale = double(t.gamma[o]) * r;
        const double g = means[o], gx = means[O + o], y = means[2 * O + o], yx = means[3 * O + o];
        const double yPg = means[4 * O + o] - g * y - gx * yx;
        const double u = ug ? double(ug[o]) : 0.0, v = ub ? double(ub[o]) : 0.0;
        const double of_y = -scale * r * gx, of_g = -scale * r * yx + u * r;
        grad_gamma[o] = F(r * yPg * double(n));
        const double k[7] = {of_y, of_g, -scale * r * yPg - of_y * yx - of_g * gx, -of_y * y - of_g * g,  // grad_z: uz, g, xhat, 1
                             scale, u - scale * yx, v - scale * y};                                       // grad_da: uz, xhat, 1
        for (int j = 0; j < 7; ++j) part[j * O + o] = F(k[j]);
    }
}

// Derivatives of sum(uz dz) + sum(ug dgamma) + sum(ub dbeta) for z, gamma and da. With
// P(y) = y - mean(y) - xhat mean(y xhat):
//   grad_da    = mask (gamma r P(uz) + ug xhat + ub)
//   grad_gamma = r sum(uz P(g))
//   grad_z     = -gamma r^2 (mean(g xhat) P(uz) + mean(uz xhat) P(g) + mean(uz P(g)) xhat) + ug r P(g)
// which are combinations of uz, g, xhat and 1 for each channel. uz, ug and ub may be null: zero.
template <class F, bool relu>
void norm_grad_grad(const F *z, const F *mean, const F *rstd, const F *gamma, const F *beta, const F *da,
                    const F *uz, const F *ug, const F *ub, F *grad_z, F *grad_gamma, F *grad_da, Int T, Int n, Int O) {
    double *means = scratch<kStats, double>(5 * O);
    F *part = scratch<kRows, F>(7 * O), *zeros = uz ? nullptr : scratch<kZero, F>(n * O);
    if (!uz) std::fill(zeros, zeros + n * O, F(0));
    for (Int task = 0; task < T; ++task) {
        const Task<F, relu> t{z + task * n * O, mean + task * O, rstd + task * O, gamma + task * O, beta + task * O,
                              da + task * n * O, uz ? uz + task * n * O : zeros};
        gradient_means<F, relu, true>(t, n, O, means, part);
        second_coefficients(t, n, O, means, part, ug ? ug + task * O : nullptr, ub ? ub + task * O : nullptr, grad_gamma + task * O);
        F *to_z = grad_z + task * n * O, *to_da = grad_da + task * n * O;
        for (Int i0 = 0; i0 < n; i0 += kStep)
            channels<F, 1>(O, [&, last = std::min(n, i0 + kStep)](auto group, Int o) {
                using V = typename decltype(group)::V;
                const auto f = t.template at<V>(o);
                V k[7];
                UNROLL for (int j = 0; j < 7; ++j) k[j] = load<V>(part + j * O + o);
                for (Int i = i0; i < last; ++i) {
                    const Int at = i * O + o;
                    const V xhat = f.xhat(load<V>(t.z + at)), on = f.y(xhat), y = load<V>(t.uz + at), g = masked<relu, V>(on, load<V>(t.da + at));
                    store(to_z + at, V(k[0] * y + k[1] * g + (k[2] * xhat + k[3])));
                    store(to_da + at, masked<relu, V>(on, V(k[4] * y + (k[5] * xhat + k[6]))));
                }
            });
    }
}

#include "pooling.cpp"  // it needs what is above

template <class Body> int guarded(const Body &body) {
    try { body(); return 0; } catch (const std::bad_alloc &) { return 1; }  // no exception may cross the C interface
}

}  // namespace

// ---- C interface: 0, or 1 where memory ran out ------------------------------------------
#define MEGAN_EXPORT(F, name)                                                                                          \
    extern "C" int conv_##name(const F *x, const F *w, F *z, Int T, Int B, Int H, Int W, Int C, Int O, Int stride,     \
                               Int padding) {                                                                          \
        return guarded([=] { conv<F>({1, {x}, {w}}, z, T, B, H, W, C, O, stride, padding); });                         \
    }                                                                                                                  \
    extern "C" int conv_data_grad_##name(const F *dz, const F *w, F *dx, Int T, Int B, Int H, Int W, Int C, Int O,     \
                                         Int stride, Int padding) {                                                    \
        return guarded([=] { conv_data_grad<F>({1, {dz}, {w}}, dx, T, B, H, W, C, O, stride, padding); });             \
    }                                                                                                                  \
    extern "C" int conv_weight_grad_##name(const F *x, const F *dz, F *dw, Int T, Int B, Int H, Int W, Int C, Int O,   \
                                           Int stride, Int padding) {                                                  \
        return guarded([=] { conv_weight_grad<F>(x, dz, dw, T, B, H, W, C, O, stride, padding); });                    \
    }                                                                                                                  \
    extern "C" int norm_##name(const F *z, const F *gamma, const F *beta, F *a, F *mean, F *rstd, Int T, Int n, Int O, \
                               double eps, int relu) {                                                                 \
        return guarded([=] { (relu ? norm<F, true> : norm<F, false>)(z, gamma, beta, a, mean, rstd, T, n, O, eps); }); \
    }                                                                                                                  \
    extern "C" int norm_grad_##name(const F *z, const F *mean, const F *rstd, const F *gamma, const F *beta,           \
                                    const F *da, F *dz, F *dgamma, F *dbeta, Int T, Int n, Int O, int relu) {          \
        return guarded([=] {                                                                                           \
            (relu ? norm_grad<F, true> : norm_grad<F, false>)(z, mean, rstd, gamma, beta, da, dz, dgamma, dbeta, T, n, O); \
        });                                                                                                            \
    }                                                                                                                  \
    extern "C" int norm_grad_grad_##name(const F *z, const F *mean, const F *rstd, const F *gamma, const F *beta,      \
                                         const F *da, const F *uz, const F *ug, const F *ub, F *grad_z, F *grad_gamma, \
                                         F *grad_da, Int T, Int n, Int O, int relu) {                                  \
        return guarded([=] {                                                                                           \
            (relu ? norm_grad_grad<F, true> : norm_grad_grad<F, false>)(z, mean, rstd, gamma, beta, da, uz, ug, ub,    \
                                                                        grad_z, grad_gamma, grad_da, T, n, O);         \
        });                                                                                                            \
    }
MEGAN_EXPORT(float, f32)
MEGAN_EXPORT(double, f64)
MEGAN_EXPORT_POOLED(float, f32)
MEGAN_EXPORT_POOLED(double, f64)
