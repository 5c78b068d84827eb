// Arithmetic on vectors: plain arrays of numbers in, numbers out. Knows no page and no server.

const SWEEPS = 60; // Jacobi's method is done after about ten

export function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i += 1) sum += a[i] * b[i];
  return sum;
}

export function norm(a) {
  return Math.sqrt(dot(a, a));
}

/** The cosine of every vector with every other: n rows of n numbers. */
export function cosines(vectors) {
  const norms = vectors.map(norm);
  const rows = vectors.map(() => new Array(vectors.length).fill(1));
  for (let i = 0; i < vectors.length; i += 1) {
    for (let j = i + 1; j < vectors.length; j += 1) {
      const length = norms[i] * norms[j];
      const cosine = length ? dot(vectors[i], vectors[j]) / length : 0;
      rows[i][j] = Math.max(-1, Math.min(1, cosine));
      rows[j][i] = rows[i][j];
    }
  }
  return rows;
}

/** The pairs that are nearest to each other, as {a, b, cosine}, the nearest first. */
export function nearest(matrix, most) {
  const pairs = [];
  for (let a = 0; a < matrix.length; a += 1) {
    for (let b = a + 1; b < matrix.length; b += 1) pairs.push({ a, b, cosine: matrix[a][b] });
  }
  return pairs.sort((x, y) => y.cosine - x.cosine || x.a - y.a || x.b - y.b).slice(0, most);
}

/** The principal components of vectors.
 *
 * `points` has two coordinates for each vector, `explained` the share of the variance that each of
 * the two axes holds. Exact: the eigenvectors of the centred Gram matrix (n × n), by Jacobi's
 * method. An axis points to where its largest coordinate is positive, so that it is always the same.
 */
export function principal(vectors) {
  const n = vectors.length;
  if (n < 2) return { points: vectors.map(() => [0, 0]), explained: [0, 0] };
  const { values, columns } = symmetricEigen(gram(centred(vectors)));
  const order = values.map((_, i) => i).sort((i, j) => values[j] - values[i]);
  const total = values.reduce((sum, value) => sum + Math.max(0, value), 0);
  const axes = order.slice(0, 2).map((index) => {
    const scale = Math.sqrt(Math.max(0, values[index]));
    return pointed(columns.map((row) => row[index] * scale));
  });
  return {
    points: vectors.map((_, i) => axes.map((axis) => axis[i])),
    explained: order.slice(0, 2).map((index) => (total ? Math.max(0, values[index]) / total : 0)),
  };
}

function centred(vectors) {
  const width = vectors[0].length;
  const mean = new Array(width).fill(0);
  for (const vector of vectors) {
    for (let i = 0; i < width; i += 1) mean[i] += vector[i] / vectors.length;
  }
  return vectors.map((vector) => mean.map((middle, i) => vector[i] - middle));
}

function gram(vectors) {
  return vectors.map((a) => vectors.map((b) => dot(a, b)));
}

function pointed(axis) {
  const largest = axis.reduce((most, x) => (Math.abs(x) > Math.abs(most) + 1e-9 ? x : most), 0);
  return largest < 0 ? axis.map((x) => -x) : axis;
}

/** Eigenvalues and eigenvectors (the columns of `columns`) of a symmetric matrix, which is used up.
 *
 * Cyclic Jacobi: Golub and Van Loan, Matrix Computations, section 8.5.
 */
function symmetricEigen(a) {
  const n = a.length;
  const v = a.map((_, i) => a.map((__, j) => (i === j ? 1 : 0)));
  const size = Math.sqrt(a.reduce((sum, row) => sum + dot(row, row), 0));
  for (let sweep = 0; sweep < SWEEPS && outside(a) > 1e-12 * size; sweep += 1) {
    for (let p = 0; p < n - 1; p += 1) {
      for (let q = p + 1; q < n; q += 1) {
        if (a[p][q] !== 0) rotate(a, v, p, q);
      }
    }
  }
  return { values: a.map((row, i) => row[i]), columns: v };
}

/** The size of what is not on the diagonal. */
function outside(a) {
  let sum = 0;
  for (let i = 0; i < a.length; i += 1) {
    for (let j = 0; j < i; j += 1) sum += 2 * a[i][j] * a[i][j];
  }
  return Math.sqrt(sum);
}

/** Turn the axes p and q so that a[p][q] becomes 0. */
function rotate(a, v, p, q) {
  const tau = (a[q][q] - a[p][p]) / (2 * a[p][q]);
  const t = (tau >= 0 ? 1 : -1) / (Math.abs(tau) + Math.sqrt(1 + tau * tau));
  const c = 1 / Math.sqrt(1 + t * t);
  const s = t * c;
  for (let k = 0; k < a.length; k += 1) {
    const [x, y] = [a[k][p], a[k][q]];
    a[k][p] = c * x - s * y;
    a[k][q] = s * x + c * y;
  }
  for (let k = 0; k < a.length; k += 1) {
    const [x, y] = [a[p][k], a[q][k]];
    a[p][k] = c * x - s * y;
    a[q][k] = s * x + c * y;
    const [left, right] = [v[k][p], v[k][q]];
    v[k][p] = c * left - s * right;
    v[k][q] = s * left + c * right;
  }
}
