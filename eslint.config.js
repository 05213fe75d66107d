/**
 * The rules of the code that a machine can check; those of layout are prettier's.
 *
 * Here: types, the direction of imports (bin → streams → lib), and that records are declared in
 * lib/layout/ instead of being read byte by byte.
 */
import eslint from '@eslint/js';
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

/** Modules of Node by which something reaches outside; lib/ has none of them. */
const IO = ['fs', 'net', 'stream', 'child_process', 'worker_threads'];
const ioModules = IO.map(name => `^(node:)?${name}($|/)`).join('|');

const importsOf = (...patterns) => ({
  'no-restricted-imports': ['error', { patterns }],
});
const NOT_BIN = { regex: '(^|/)bin/', message: 'The direction is bin → streams → lib.' };
const NOT_STREAMS = { regex: '(^|/)streams/', message: 'The direction is bin → streams → lib.' };
const NOT_TEST = { regex: '(^|/)(test|benchmarks)/', message: 'Tests use the sources, not back.' };
const NO_IO = { regex: ioModules, message: 'lib/ does no I/O and knows no stream.' };

const NAMED_ONLY = {
  selector: 'ExportDefaultDeclaration',
  message: 'Named exports only.',
};
const NO_BARREL = {
  selector: ':matches(ExportAllDeclaration, ExportNamedDeclaration[source])',
  message: 'No re-export: import from where it is.',
};
const ERASABLE = [
  { selector: 'TSEnumDeclaration', message: 'No enum: a table `as const`.' },
  { selector: 'TSModuleDeclaration[kind="namespace"]', message: 'No namespace.' },
  { selector: 'TSParameterProperty', message: 'No parameter properties.' },
];
/** readUInt32LE(), writeBigUInt64LE(), readIntBE(), DataView's getUint32() and so on. */
const RAW_INTEGERS = {
  selector:
    'CallExpression > MemberExpression[property.name=/^(read|write|get|set)(Big)?U?[Ii]nt(8|16|32|64)?(LE|BE)?$/]',
  message:
    'Declare a record in lib/layout/: integers are read and written in lib/layout/struct.ts only.',
};
/** import() is no-restricted-imports' blind spot. */
const NO_IO_LATER = {
  selector: `ImportExpression[source.value=/${ioModules.replaceAll('/', '\\u002f')}|\\u002f(bin|streams)\\u002f/]`,
  message: 'lib/ does no I/O and knows no stream, and imports neither bin/ nor streams/.',
};
const NO_BIN_LATER = {
  selector: 'ImportExpression[source.value=/\\u002fbin\\u002f/]',
  message: NOT_BIN.message,
};
const STYLE = [NAMED_ONLY, NO_BARREL, ...ERASABLE];

/** What scripts may use without importing it. */
const NODE = Object.fromEntries(
  ['Buffer', 'URL', 'clearInterval', 'performance', 'process', 'setInterval'].map(name => [
    name,
    'readonly',
  ]),
);

export default defineConfig(
  { ignores: ['dist/', 'node_modules/', '.tap/', 'demo/', 'assembly/*.ts', 'test/fixtures/'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  eslint.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      // `typeof import('x')` types a package that may not be installed
      '@typescript-eslint/consistent-type-imports': ['error', { disallowTypeAnnotations: false }],
      '@typescript-eslint/consistent-type-exports': 'error',
      '@typescript-eslint/no-import-type-side-effects': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', ignoreRestSiblings: true },
      ],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      // `!` is how the code says what an index check has settled (noUncheckedIndexedAccess)
      '@typescript-eslint/no-non-null-assertion': 'off',
      // arrow functions of one expression, and `done()` as one, are the house's style
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/no-meaningless-void-operator': 'off',
      '@typescript-eslint/no-invalid-void-type': 'off',
      // types do not know that a stream may be destroyed meanwhile, or what Node leaves undefined
      '@typescript-eslint/no-unnecessary-condition': 'off',
      '@typescript-eslint/no-unnecessary-boolean-literal-compare': 'off',
      // what is async by its interface, so that a throw becomes a rejection
      '@typescript-eslint/require-await': 'off',
      // names are bytes in latin1 strings here: one character, one code unit
      '@typescript-eslint/no-misused-spread': 'off',
      '@typescript-eslint/no-empty-function': 'off',
      '@typescript-eslint/consistent-type-definitions': 'off',
      '@typescript-eslint/consistent-indexed-object-style': 'off',
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
      '@typescript-eslint/prefer-for-of': 'off', // inner loops over bytes
      '@typescript-eslint/prefer-nullish-coalescing': 'off',
      'no-restricted-syntax': ['error', ...STYLE, RAW_INTEGERS],
      eqeqeq: 'error',
      'no-var': 'error',
      'prefer-const': 'error',
    },
  },
  {
    files: ['lib/**/*.ts'],
    rules: {
      ...importsOf(NOT_BIN, NOT_STREAMS, NOT_TEST, NO_IO),
      'no-restricted-syntax': ['error', ...STYLE, RAW_INTEGERS, NO_IO_LATER],
    },
  },
  // our own WebAssembly lies beside the code that needs it
  { files: ['lib/compress/wasm.ts'], rules: importsOf(NOT_BIN, NOT_STREAMS, NOT_TEST) },
  {
    files: ['streams/**/*.ts'],
    rules: {
      ...importsOf(NOT_BIN, NOT_TEST),
      'no-restricted-syntax': ['error', ...STYLE, RAW_INTEGERS, NO_BIN_LATER],
    },
  },
  { files: ['bin/**/*.ts'], rules: importsOf(NOT_TEST) },
  {
    files: ['lib/layout/struct.ts'],
    rules: {
      'no-restricted-syntax': ['error', ...STYLE, NO_IO_LATER],
      '@typescript-eslint/no-explicit-any': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
    },
  },
  {
    // what checks the records must not read them with the records
    files: ['test/**/*.ts', 'benchmarks/**/*.ts'],
    rules: {
      'no-restricted-syntax': ['error', ...STYLE],
      // t.test() at the top of a file is not awaited: tap waits
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafeCalls: [
            { from: 'package', package: '@tapjs/core', name: ['test'] },
            { from: 'package', package: '@tapjs/test', name: ['test'] },
          ],
        },
      ],
      'no-regex-spaces': 'off',
    },
  },
  {
    files: ['**/*.js', '**/*.mjs'],
    languageOptions: { globals: NODE },
  },
);
