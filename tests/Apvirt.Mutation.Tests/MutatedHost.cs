using System.Collections.Concurrent;
using System.Reflection;
using System.Runtime.Loader;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;

namespace Apvirt.Mutation.Tests;

/// <summary>
/// A host of which one source file was changed: the project is compiled anew in memory and loaded, with everything above
/// it, apart from the tests' own copy.
/// </summary>
internal sealed class MutatedHost : IDisposable
{
    private const string Usings = """
        global using System; global using System.Collections.Generic; global using System.IO; global using System.Linq;
        global using System.Net.Http; global using System.Threading; global using System.Threading.Tasks;
        """;

    private static readonly CSharpParseOptions ParseOptions = new(LanguageVersion.Preview);
    private static readonly ConcurrentDictionary<string, Lazy<CSharpCompilation>> Sound = new(StringComparer.Ordinal);

    private static readonly Lazy<PortableExecutableReference[]> Platform = new(() =>
        [.. ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!).Split(Path.PathSeparator).Select(path => MetadataReference.CreateFromFile(path))]);

    private readonly Context _context;

    private MutatedHost(Context context) => _context = context;

    internal static string Root
    {
        get
        {
            DirectoryInfo? at = new(AppContext.BaseDirectory);
            while (at is not null && !File.Exists(Path.Combine(at.FullName, "Apvirt.slnx")))
                at = at.Parent;
            return at!.FullName;
        }
    }

    /// <summary>Compiles a project with one text replaced, which must occur exactly once.</summary>
    internal static MutatedHost Make(string file, string find, string replace) => Make(file, (find, replace));

    /// <summary>Compiles a project with texts of one file replaced, each of which must occur exactly once.</summary>
    internal static MutatedHost Make(string file, params (string Find, string Replace)[] changes)
    {
        string project = file[..file.IndexOf('/', StringComparison.Ordinal)];
        CSharpCompilation sound = Sound.GetOrAdd(project, static name => new Lazy<CSharpCompilation>(() => Compile(name))).Value;
        string path = Path.Combine(Root, "src", file);
        SyntaxTree tree = sound.SyntaxTrees.Single(tree => tree.FilePath == path);
        string text = tree.GetText().ToString();
        foreach ((string find, string replace) in changes)
        {
            Assert.Equal(2, text.Split(find).Length);
            text = text.Replace(find, replace, StringComparison.Ordinal);
        }
        CSharpCompilation compilation = sound.ReplaceSyntaxTree(tree, CSharpSyntaxTree.ParseText(text, ParseOptions, path));
        MemoryStream image = new();
        Microsoft.CodeAnalysis.Emit.EmitResult result = compilation.Emit(image);
        Assert.True(result.Success, string.Join('\n', result.Diagnostics.Where(d => d.Severity == DiagnosticSeverity.Error)));
        return new MutatedHost(new Context(project, image.ToArray()));
    }

    // A project as it is, read once for all its mutations.
    private static CSharpCompilation Compile(string project)
    {
        string folder = Path.Combine(Root, "src", project);
        IEnumerable<string> files = Directory.EnumerateFiles(folder, "*.cs", SearchOption.AllDirectories)
            .Where(path => Path.GetRelativePath(folder, path).Split('/')[0] is not ("obj" or "bin"));
        return CSharpCompilation.Create(
            project,
            [CSharpSyntaxTree.ParseText(Usings, ParseOptions), .. files.Select(path => CSharpSyntaxTree.ParseText(File.ReadAllText(path), ParseOptions, path))],
            Platform.Value.Where(reference => Path.GetFileNameWithoutExtension(reference.FilePath) != project),
            new CSharpCompilationOptions(OutputKind.DynamicallyLinkedLibrary, optimizationLevel: OptimizationLevel.Release, allowUnsafe: true, nullableContextOptions: NullableContextOptions.Enable));
    }

    /// <summary>Fuzzes the host until a check finds something; null if none does.</summary>
    internal string? Fuzz(int episodes)
    {
        Assembly host = _context.LoadFromAssemblyName(new AssemblyName("Apvirt.Host"));
        Assembly ap = _context.LoadFromAssemblyName(new AssemblyName("Apvirt.Ap"));
        object strict = ap.GetType("Apvirt.Ap.Profiles.Profile")!.GetProperty("Strict")!.GetValue(null)!;
        MethodInfo make = host.GetType("Apvirt.Host.Fuzzing.FuzzPlan")!.GetMethod("Make")!;
        MethodInfo run = host.GetType("Apvirt.Host.Fuzzing.FuzzRun")!.GetMethod("Run")!;
        for (int episode = 0; episode < episodes; episode++)
        {
            object plan = make.Invoke(null, [1UL, (long)episode, 480, 8, strict])!;
            try
            {
                object result = run.Invoke(null, [plan, null, true])!;
                object? first = ((System.Collections.IEnumerable)result.GetType().GetProperty("Violations")!.GetValue(result)!).Cast<object>().FirstOrDefault();
                if (first is not null)
                    return first.ToString();
            }
            catch (TargetInvocationException bug)
            {
                return $"crash: {bug.InnerException!.Message}";
            }
        }
        return null;
    }

    /// <summary>Explores a scenario of the examples; what is broken that no finding predicts: the rule, and what is said of it.</summary>
    internal IReadOnlyList<string> Explore(string name, string profile = "strict")
    {
        Assembly explore = _context.LoadFromAssemblyName(new AssemblyName("Apvirt.Explore"));
        string path = Path.Combine(Root, "examples", "scenarios", name);
        object?[] read = [name, File.ReadAllText(path), null];
        Type scenario = explore.GetType("Apvirt.Explore.Scenarios.Scenario")!;
        Assert.Null(scenario.GetMethod("Read")!.Invoke(null, read));
        object chosen = _context.LoadFromAssemblyName(new AssemblyName("Apvirt.Ap")).GetType("Apvirt.Ap.Profiles.Profile")!.GetMethod("Find")!.Invoke(null, [profile])!;
        scenario.GetProperty("Profile")!.SetValue(read[2], chosen);
        Type search = explore.GetType("Apvirt.Explore.Scenarios.ScenarioSearch")!;
        object options = Activator.CreateInstance(explore.GetType("Apvirt.Explore.Engine.ExploreOptions")!)!;
        options.GetType().GetProperty("TimeMax")!.SetValue(options, TimeSpan.FromSeconds(60));
        object result = search.GetMethod("Run")!.Invoke(Activator.CreateInstance(search, read[2]), [options])!;
        return [.. ((System.Collections.IEnumerable)result.GetType().GetProperty("Violations")!.GetValue(result)!).Cast<object>()
            .Where(violation => violation.GetType().GetProperty("Finding")!.GetValue(violation) is null)
            .Select(violation => $"{violation.GetType().GetProperty("Rule")!.GetValue(violation)} {violation.GetType().GetProperty("Summary")!.GetValue(violation)}")];
    }

    public void Dispose() => _context.Unload();

    private sealed class Context(string mutated, byte[] image) : AssemblyLoadContext(isCollectible: true)
    {
        protected override Assembly? Load(AssemblyName name)
        {
            if (name.Name == mutated)
                return LoadFromStream(new MemoryStream(image));
            string path = Path.Combine(AppContext.BaseDirectory, name.Name + ".dll");
            return name.Name!.StartsWith("Apvirt.", StringComparison.Ordinal) && File.Exists(path) ? LoadFromAssemblyPath(path) : null;
        }
    }
}
