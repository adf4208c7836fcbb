using System.Reflection;
using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;
using Apvirt.Host.Checks;
using Apvirt.Kernel.Locking;

namespace Apvirt.Explore.Scenarios;

/// <summary>
/// Which method a place in the source belongs to, by the symbols that lie beside the assemblies; read when somebody first asks.
/// Without symbols nothing is known.
/// </summary>
public sealed class SourceMap
{
    // The code that the compiler makes of an asynchronous method or a lambda is named after it in angle brackets.
    private const char Generated = '<';

    private readonly record struct Stretch(int First, int Last, string Type, string Method);

    private readonly Lazy<Dictionary<string, List<Stretch>>> _files = new(Read);

    /// <summary>The function that a place belongs to: its Linux name, or else ours.</summary>
    /// <param name="site">The place.</param>
    /// <returns>Null if it is not known.</returns>
    public string? FunctionAt(LockSite site)
    {
        if (site.File is null || !_files.Value.TryGetValue(site.File, out List<Stretch>? stretches))
            return null;
        Stretch[] around = [.. stretches.Where(stretch => stretch.First <= site.Line && site.Line <= stretch.Last).OrderBy(stretch => stretch.Last - stretch.First)];
        return around.Length == 0 ? null : LinuxFunctions.NameOf(around[0].Type, around[0].Method) ?? $"{around[0].Type}.{around[0].Method}";
    }

    private static Dictionary<string, List<Stretch>> Read()
    {
        Dictionary<string, List<Stretch>> files = new(StringComparer.Ordinal);
        foreach (Assembly assembly in AppDomain.CurrentDomain.GetAssemblies().Where(a => !a.IsDynamic && a.GetName().Name?.StartsWith("Apvirt.", StringComparison.Ordinal) == true))
        {
            string symbols = Path.ChangeExtension(assembly.Location, ".pdb");
            if (File.Exists(symbols))
                Read(assembly.Location, symbols, files);
        }
        return files;
    }

    private static void Read(string assembly, string symbols, Dictionary<string, List<Stretch>> files)
    {
        using PEReader file = new(File.OpenRead(assembly));
        using MetadataReaderProvider provider = MetadataReaderProvider.FromPortablePdbStream(File.OpenRead(symbols));
        MetadataReader types = file.GetMetadataReader();
        MetadataReader lines = provider.GetMetadataReader();
        foreach (MethodDebugInformationHandle handle in lines.MethodDebugInformation)
        {
            MethodDebugInformation method = lines.GetMethodDebugInformation(handle);
            SequencePoint[] points = [.. method.GetSequencePoints().Where(point => !point.IsHidden)];
            if (points.Length == 0)
                continue;
            MethodDefinitionHandle definition = method.GetStateMachineKickoffMethod();
            (string type, string name) = NameOf(types, definition.IsNil ? handle.ToDefinitionHandle() : definition);
            string source = lines.GetString(lines.GetDocument(points[0].Document).Name);
            if (!files.TryGetValue(source, out List<Stretch>? stretches))
                files.Add(source, stretches = []);
            stretches.Add(new Stretch(points.Min(point => point.StartLine), points.Max(point => point.EndLine), type, name));
        }
    }

    private static (string Type, string Method) NameOf(MetadataReader types, MethodDefinitionHandle handle)
    {
        MethodDefinition method = types.GetMethodDefinition(handle);
        TypeDefinition type = types.GetTypeDefinition(method.GetDeclaringType());
        while (types.GetString(type.Name)[0] == Generated && type.IsNested)
            type = types.GetTypeDefinition(type.GetDeclaringType());
        string name = types.GetString(method.Name);
        return (types.GetString(type.Name), name[0] == Generated ? name[1..name.IndexOf('>', StringComparison.Ordinal)] : name);
    }
}
