// Runs a recorded program (megan/replay) in one call: a list of instructions, one after the other.
//
// An instruction is a row of 64-bit words: [code, number of words, type, fields ...]; type 0 is float, 1 is
// double. Fields are sizes, strides in elements, addresses, and numbers as the bits of a double. The writer of the
// rows (megan/replay/words.py) must give right shapes and addresses; nothing is checked here.

#include "native.cpp"

namespace {

enum Code : Int {
    kConv, kConvDataGrad, kConvWeightGrad, kNorm, kNormGrad, kNormGradGrad, kConvPair, kConvDataGradPair, kConvWeightGradAdd,
    kLoop, kSum, kMatrixProduct, kPick, kAddAt, kLogSoftmax, kLogSoftmaxGrad, kDoubleUp, kDoubleUpGrad
};
constexpr Int kBlockSize = 512;  // elements that a loop treats at a time
constexpr int kMostDims = 8;

// Reads the fields of an instruction in their order.
struct Fields {
    const Int *at;
    Int integer() { return *at++; }
    double number() { double x; std::memcpy(&x, at++, sizeof x); return x; }
    template <class F> F *address() { return reinterpret_cast<F *>(*at++); }
    const Int *row(Int n) { const Int *r = at; at += n; return r; }
};

// ---- loops over elements ------------------------------------------------------------------
// [dims, sizes, inputs, {address, strides}, steps, {step, a, b, number}, outputs, {value, address, strides}]
// Values are numbered: the inputs, then the result of each step. The last dimension is the inner one.
enum Step : Int {
    sFill, sAdd, sSub, sMul, sDiv, sAddScaled, sScale, sShift, sReciprocal, sAtLeast, sAtMost, sRelu, sReluGrad, sSigmoidGrad,
    sTanhGrad, sSqrt, sRsqrt, sExp, sLog, sSigmoid, sTanh, sSoftplus, sSoftplusGrad
};

template <class F, class Body> inline void unary(Int n, const F *a, F *to, const Body &body) {
    using V = Vec<F>;
    Int i = 0;
    for (; i + kLanes<F> <= n; i += kLanes<F>) store(to + i, V(body(load<V>(a + i))));
    for (; i < n; ++i) to[i] = body(a[i]);
}
template <class F, class Body> inline void binary(Int n, const F *a, const F *b, F *to, const Body &body) {
    using V = Vec<F>;
    Int i = 0;
    for (; i + kLanes<F> <= n; i += kLanes<F>) store(to + i, V(body(load<V>(a + i), load<V>(b + i))));
    for (; i < n; ++i) to[i] = body(a[i], b[i]);
}
template <class F, class Body> inline void single(Int n, const F *a, F *to, const Body &body) {
    for (Int i = 0; i < n; ++i) to[i] = body(a[i]);
}

template <class F> void step(Int what, Int n, const F *a, const F *b, F k, F *to) {
    switch (what) {
    case sFill: std::fill(to, to + n, k); return;
    case sAdd: return binary(n, a, b, to, [](auto x, auto y) { return x + y; });
    case sSub: return binary(n, a, b, to, [](auto x, auto y) { return x - y; });
    case sMul: return binary(n, a, b, to, [](auto x, auto y) { return x * y; });
    case sDiv: return binary(n, a, b, to, [](auto x, auto y) { return x / y; });
    case sAddScaled: return binary(n, a, b, to, [k](auto x, auto y) { return x + k * y; });
    case sScale: return unary(n, a, to, [k](auto x) { return k * x; });
    case sShift: return unary(n, a, to, [k](auto x) { return k + x; });
    case sReciprocal: return unary(n, a, to, [k](auto x) { return k / x; });
    case sAtLeast: return unary(n, a, to, [k](auto x) { const decltype(x) bound = decltype(x){} + k; return decltype(x)(x < bound ? bound : x); });
    case sAtMost: return unary(n, a, to, [k](auto x) { const decltype(x) bound = decltype(x){} + k; return decltype(x)(x > bound ? bound : x); });
    case sRelu: return unary(n, a, to, [](auto x) { return masked<true>(x, x); });
    case sReluGrad: return binary(n, a, b, to, [](auto g, auto x) { return masked<true>(x, g); });
    case sSigmoidGrad: return binary(n, a, b, to, [](auto g, auto y) { return g * ((F(1) - y) * y); });
    case sTanhGrad: return binary(n, a, b, to, [](auto g, auto y) { return g * (F(1) - y * y); });
    case sSqrt: return single(n, a, to, [](F x) { return std::sqrt(x); });
    case sRsqrt: return single(n, a, to, [](F x) { return F(1) / std::sqrt(x); });
    case sExp: return single(n, a, to, [](F x) { return std::exp(x); });
    case sLog: return single(n, a, to, [](F x) { return std::log(x); });
    case sSigmoid: return single(n, a, to, [](F x) { return F(1) / (F(1) + std::exp(-x)); });
    case sTanh: return single(n, a, to, [](F x) { return std::tanh(x); });
    case sSoftplus: return single(n, a, to, [](F x) { return x > 20 ? x : std::log1p(std::exp(x)); });
    case sSoftplusGrad:
        for (Int i = 0; i < n; ++i) to[i] = b[i] > 20 ? a[i] : a[i] / (F(1) + std::exp(-b[i]));
        return;
    }
}

template <class F> void loop(Fields f) {
    struct Operand { F *at; const Int *strides; Int value; };
    const Int dims = f.integer(), *sizes = f.row(dims), inner = sizes[dims - 1];
    const Int inputs = f.integer();
    Operand operand[64];
    for (Int i = 0; i < inputs; ++i) operand[i].at = f.address<F>(), operand[i].strides = f.row(dims), operand[i].value = i;
    const Int steps = f.integer();
    Fields first_step{f.row(4 * steps)};
    const Int outputs = f.integer(), all = inputs + outputs;
    for (Int i = inputs; i < all; ++i) operand[i].value = f.integer(), operand[i].at = f.address<F>(), operand[i].strides = f.row(dims);
    F *values = scratch<kRows, F>((inputs + steps) * kBlockSize);
    const F *value[128] = {};
    Int index[kMostDims] = {};
    // The last step may write directly to the output, because nothing is read after it.
    const bool direct = outputs == 1 && operand[inputs].value == inputs + steps - 1 && operand[inputs].strides[dims - 1] == 1 && steps > 0;
    for (;;) {
        for (Int start = 0; start < inner; start += kBlockSize) {
            const Int n = std::min(kBlockSize, inner - start);
            for (Int i = 0; i < inputs; ++i) {
                const Int stride = operand[i].strides[dims - 1];
                const F *from = operand[i].at + start * stride;
                F *own = values + i * kBlockSize;
                value[i] = stride == 1 ? from : own;
                if (stride == 0) std::fill(own, own + n, *from);
                else if (stride != 1) for (Int k = 0; k < n; ++k) own[k] = from[k * stride];
            }
            Fields g = first_step;
            for (Int s = 0; s < steps; ++s) {
                const Int what = g.integer(), a = g.integer(), b = g.integer();
                F *to = direct && s == steps - 1 ? operand[inputs].at + start : values + (inputs + s) * kBlockSize;
                step<F>(what, n, value[a], value[b], F(g.number()), to);
                value[inputs + s] = to;
            }
            if (direct) continue;
            for (Int i = inputs; i < all; ++i) {
                const Int stride = operand[i].strides[dims - 1];
                const F *from = value[operand[i].value];
                F *to = operand[i].at + start * stride;
                if (stride == 1) std::memmove(to, from, sizeof(F) * size_t(n));
                else for (Int k = 0; k < n; ++k) to[k * stride] = from[k];
            }
        }
        Int d = dims - 2;
        for (; d >= 0; --d) {
            for (Int i = 0; i < all; ++i) operand[i].at += operand[i].strides[d];
            if (++index[d] < sizes[d]) break;
            for (Int i = 0; i < all; ++i) operand[i].at -= operand[i].strides[d] * sizes[d];
            index[d] = 0;
        }
        if (d < 0) return;
    }
}

// ---- sums ---------------------------------------------------------------------------------
// [kept dims, summed dims, sizes (kept, then summed), from, its strides, to, its strides (kept), scale]
// The last kept dimension is computed in blocks, or one by one if the last summed one is contiguous.
template <class F> void sum(Fields f) {
    const Int kept = f.integer(), summed = f.integer(), *sizes = f.row(kept + summed);
    const F *from = f.address<F>();
    const Int *strides = f.row(kept + summed);
    F *to = f.address<F>();
    const Int *to_strides = f.row(kept);
    const double scale = f.number();
    const Int *sum_sizes = sizes + kept, *sum_strides = strides + kept;
    const Int inner = sizes[kept - 1], step = strides[kept - 1], run = sum_sizes[summed - 1], run_step = sum_strides[summed - 1];
    Int rows = 1;  // of the summed dimensions but the last
    for (Int d = 0; d < summed - 1; ++d) rows *= sum_sizes[d];
    double *part = scratch<kStats, double>(kBlockSize);
    Int index[kMostDims] = {};
    for (;;) {
        for (Int start = 0; start < inner; start += kBlockSize) {
            const Int n = std::min(kBlockSize, inner - start);
            std::fill(part, part + n, 0.0);
            Int at[kMostDims] = {};
            const F *x = from + start * step;
            for (Int r = 0; r < rows; ++r) {
                if (run_step == 1 && (step != 1 || n == 1)) {
                    for (Int k = 0; k < n; ++k) {
                        double lane[8] = {};
                        const F *y = x + k * step;
                        Int i = 0;
                        for (; i + 8 <= run; i += 8) for (int l = 0; l < 8; ++l) lane[l] += double(y[i + l]);
                        for (; i < run; ++i) lane[0] += double(y[i]);
                        part[k] += ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
                    }
                } else if (step == 1) {
                    for (Int i = 0; i < run; ++i) for (Int k = 0; k < n; ++k) part[k] += double(x[i * run_step + k]);
                } else {
                    for (Int i = 0; i < run; ++i) for (Int k = 0; k < n; ++k) part[k] += double(x[i * run_step + k * step]);
                }
                for (Int d = summed - 2; d >= 0; --d) {
                    x += sum_strides[d];
                    if (++at[d] < sum_sizes[d]) break;
                    x -= sum_strides[d] * sum_sizes[d], at[d] = 0;
                }
            }
            for (Int k = 0; k < n; ++k) to[(start + k) * to_strides[kept - 1]] = F(part[k] * scale);
        }
        Int d = kept - 2;
        for (; d >= 0; --d) {
            from += strides[d], to += to_strides[d];
            if (++index[d] < sizes[d]) break;
            from -= strides[d] * sizes[d], to -= to_strides[d] * sizes[d], index[d] = 0;
        }
        if (d < 0) return;
    }
}

// ---- batched matrix products: c = bias + a b ------------------------------------------------
// [T, M, K, N, a, 3 strides, b, 3 strides, c, 3 strides, bias or 0, 3 strides]
template <class F> void matrix_product(Fields f) {
    const Int T = f.integer(), M = f.integer(), K = f.integer(), N = f.integer();
    const F *a = f.address<F>(); const Int *sa = f.row(3);
    const F *b = f.address<F>(); const Int *sb = f.row(3);
    F *c = f.address<F>(); const Int *sc = f.row(3);
    const F *bias = f.address<F>(); const Int *si = f.row(3);
    constexpr int NV = 4;
    const Int L = kLanes<F>, ld = ceil_div(N, L) * L;
    F *packed = scratch<kPack, F>(K * ld + NV * L), *row = scratch<kOut, F>(NV * L);
    std::fill(packed, packed + K * ld + NV * L, F(0));
    for (Int t = 0; t < T; ++t) {
        for (Int k = 0; k < K; ++k) for (Int n = 0; n < N; ++n) packed[k * ld + n] = b[t * sb[0] + k * sb[1] + n * sb[2]];
        for (Int m = 0; m < M; ++m)
            for (Int n0 = 0; n0 < N; n0 += NV * L) {
                const Int width = std::min<Int>(NV * L, N - n0);
                const int vectors = int(ceil_div(width, L));
                Vec<F> acc[NV] = {};
                for (Int k = 0; k < K; ++k) {
                    const Vec<F> x = splat<Vec<F>>(a[t * sa[0] + m * sa[1] + k * sa[2]]);
                    for (int v = 0; v < vectors; ++v) acc[v] += x * load<Vec<F>>(packed + k * ld + n0 + v * L);
                }
                for (int v = 0; v < vectors; ++v) store(row + v * L, acc[v]);
                for (Int n = 0; n < width; ++n)
                    c[t * sc[0] + m * sc[1] + (n0 + n) * sc[2]] = row[n] + (bias ? bias[t * si[0] + m * si[1] + (n0 + n) * si[2]] : F(0));
            }
    }
}

// ---- picking by index -----------------------------------------------------------------------
// [dims, sizes, index, its strides, from, its strides, its step, to, its strides, its step]
// pick: to[i] = from[i + step index[i]]; add: to[i + step index[i]] += from[i]
template <class F> void pick(Fields f, bool add) {
    const Int dims = f.integer(), *sizes = f.row(dims), *index = f.address<Int>(), *index_strides = f.row(dims);
    const F *from = f.address<F>();
    const Int *from_strides = f.row(dims), from_step = f.integer();
    F *to = f.address<F>();
    const Int *to_strides = f.row(dims), to_step = f.integer();
    Int total = 1;
    for (Int d = 0; d < dims; ++d) total *= sizes[d];
    for (Int i = 0; i < total; ++i) {
        Int rest = i, where = 0, source = 0, target = 0;
        for (Int d = dims - 1; d >= 0; --d) {
            const Int at = rest % sizes[d];
            rest /= sizes[d], where += at * index_strides[d], source += at * from_strides[d], target += at * to_strides[d];
        }
        F &result = to[target + to_step * index[where]];
        const F value = from[source + from_step * index[where]];
        result = add ? result + value : value;
    }
}

// [rows, columns, from (its rows are contiguous), to] and [rows, columns, gradient, result, to]
template <class F> void log_softmax(Fields f) {
    const Int rows = f.integer(), columns = f.integer();
    const F *x = f.address<F>();
    F *y = f.address<F>();
    for (Int r = 0; r < rows; ++r, x += columns, y += columns) {
        F most = x[0];
        for (Int c = 1; c < columns; ++c) most = x[c] > most || x[c] != x[c] ? x[c] : most;
        F total = 0;
        for (Int c = 0; c < columns; ++c) total += std::exp(x[c] - most);
        const F shift = most + std::log(total);
        for (Int c = 0; c < columns; ++c) y[c] = x[c] - shift;
    }
}
template <class F> void log_softmax_grad(Fields f) {
    const Int rows = f.integer(), columns = f.integer();
    const F *g = f.address<F>(), *y = f.address<F>();
    F *to = f.address<F>();
    for (Int r = 0; r < rows; ++r, g += columns, y += columns, to += columns) {
        F total = 0;
        for (Int c = 0; c < columns; ++c) total += g[c];
        for (Int c = 0; c < columns; ++c) to[c] = g[c] - std::exp(y[c]) * total;
    }
}

// ---- nearest-neighbour doubling ---------------------------------------------------------------
// [images, height, width, channels, from [images, height, width, channels], to [images, 2 height, 2 width, channels]]
template <class F> void double_up(Fields f) {
    Int rows = f.integer();
    rows *= f.integer();
    const Int W = f.integer(), C = f.integer();
    const F *x = f.address<F>();
    F *y = f.address<F>();
    for (Int r = 0; r < rows; ++r, x += W * C, y += 4 * W * C) {
        for (Int w = 0; w < W; ++w)
            for (Int i = 0; i < 2; ++i) std::memcpy(y + (2 * w + i) * C, x + w * C, sizeof(F) * size_t(C));
        std::memcpy(y + 2 * W * C, y, sizeof(F) * size_t(2 * W * C));
    }
}
// The same with the roles of from and to exchanged: each element takes the sum of its four.
template <class F> void double_up_grad(Fields f) {
    Int rows = f.integer();
    rows *= f.integer();
    const Int W = f.integer(), C = f.integer();
    const F *g = f.address<F>();
    F *to = f.address<F>();
    for (Int r = 0; r < rows; ++r, to += W * C, g += 4 * W * C)
        for (Int w = 0; w < W; ++w)
            for (Int c = 0; c < C; ++c) {
                const F *a = g + 2 * w * C + c, *b = a + 2 * W * C;
                to[w * C + c] = (a[0] + a[C]) + (b[0] + b[C]);
            }
}

// ---- the kernels of native.cpp --------------------------------------------------------------
template <class F> void kernel(Int code, Fields f) {
    const F *in[9];
    F *out[3];
    static const int counts[][2] = {{2, 1}, {2, 1}, {2, 1}, {3, 3}, {6, 3}, {9, 3}, {4, 1}, {4, 1}, {2, 1}};  // inputs, outputs
    const int inputs = counts[code][0], outputs = counts[code][1];
    for (int i = 0; i < inputs; ++i) in[i] = f.address<const F>();
    for (int i = 0; i < outputs; ++i) out[i] = f.address<F>();
    const Int *n = f.at;
    switch (code) {
    case kConv: return conv<F>({1, {in[0]}, {in[1]}}, out[0], n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7]);
    case kConvPair: return conv<F>({2, {in[0], in[2]}, {in[1], in[3]}}, out[0], n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7]);
    case kConvDataGrad: return conv_data_grad<F>({1, {in[0]}, {in[1]}}, out[0], n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7]);
    case kConvDataGradPair: return conv_data_grad<F>({2, {in[0], in[2]}, {in[1], in[3]}}, out[0], n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7]);
    case kConvWeightGrad: return conv_weight_grad<F>(in[0], in[1], out[0], n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7]);
    case kConvWeightGradAdd: return conv_weight_grad<F>(in[0], in[1], out[0], n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], true);
    case kNorm: {
        double eps;
        std::memcpy(&eps, n + 3, sizeof eps);
        return (n[4] ? norm<F, true> : norm<F, false>)(in[0], in[1], in[2], out[0], out[1], out[2], n[0], n[1], n[2], eps);
    }
    case kNormGrad:
        return (n[3] ? norm_grad<F, true> : norm_grad<F, false>)(in[0], in[1], in[2], in[3], in[4], in[5], out[0], out[1], out[2], n[0], n[1], n[2]);
    case kNormGradGrad:
        return (n[3] ? norm_grad_grad<F, true> : norm_grad_grad<F, false>)(in[0], in[1], in[2], in[3], in[4], in[5], in[6], in[7], in[8],
                                                                           out[0], out[1], out[2], n[0], n[1], n[2]);
    }
}

template <class F> void instruction(Int code, Fields f) {
    switch (code) {
    case kLoop: return loop<F>(f);
    case kSum: return sum<F>(f);
    case kMatrixProduct: return matrix_product<F>(f);
    case kPick: return pick<F>(f, false);
    case kAddAt: return pick<F>(f, true);
    case kLogSoftmax: return log_softmax<F>(f);
    case kLogSoftmaxGrad: return log_softmax_grad<F>(f);
    case kDoubleUp: return double_up<F>(f);
    case kDoubleUpGrad: return double_up_grad<F>(f);
    default: return kernel<F>(code, f);
    }
}

}  // namespace

// Runs the instructions between two addresses: 0, or 1 where memory ran out.
extern "C" int run_program(const Int *at, const Int *end) {
    return guarded([=] {
        for (const Int *word = at; word < end; word += word[1])
            (word[2] ? instruction<double> : instruction<float>)(word[0], Fields{word + 3});
    });
}
