using System.Reflection;

namespace Apvirt.Kernel.Tests.HouseRules;

public sealed class HouseRulesTests
{
    private static List<int>? _sample;
    private static readonly List<int> ListSample = [];

    [Fact]
    public void Kernel_layers_use_no_ambient_time_randomness_or_threads() =>
        Assert.Empty(SourceTree.Sources(SourceTree.KernelLayers).SelectMany(s => Rules.Ambient(s.Path, s.Text)));

    [Fact]
    public void Nothing_static_can_change() =>
        Assert.Empty(SourceTree.KernelLayers.SelectMany(layer => Rules.StaticState(Assembly.Load($"Apvirt.{layer}").GetTypes())));

    [Fact]
    public void Layers_reference_downwards() =>
        Assert.Empty(SourceTree.Layers.SelectMany(layer =>
            Rules.References(layer, File.ReadAllText(Path.Combine(SourceTree.Root, "src", $"Apvirt.{layer}", $"Apvirt.{layer}.csproj")))));

    [Fact]
    public void A_folder_is_a_namespace() =>
        Assert.Empty(SourceTree.Sources(SourceTree.Layers).SelectMany(s => Rules.Namespaces(s.Path, s.Text)));

    [Fact]
    public void Files_are_short() =>
        Assert.Empty(SourceTree.Sources(SourceTree.Layers).SelectMany(s => Rules.LongFiles(s.Path, s.Text)));

    [Fact]
    public void Nothing_is_left_unfinished() =>
        Assert.Empty(SourceTree.Sources(SourceTree.Layers).SelectMany(s => Rules.UnfinishedMarks(s.Path, s.Text)));

    [Fact]
    public void Each_rule_finds_what_breaks_it()
    {
        _sample = ListSample;
        Assert.Single(Rules.Ambient("src/Apvirt.Ap/A.cs", "x = DateTime.UtcNow;"));
        Assert.Single(Rules.Ambient("src/Apvirt.Ap/A.cs", "ThreadPool.QueueUserWorkItem(f);"));
        Assert.Empty(Rules.Ambient("src/Apvirt.Kernel/Runtime/ProductionRuntime.cs", "ThreadPool.QueueUserWorkItem(f);"));
        Assert.Equal(2, Rules.StaticState([typeof(HouseRulesTests)]).Count());
        Assert.Single(Rules.References("Ap", "<ProjectReference Include=\"../Apvirt.Kvm/Apvirt.Kvm.csproj\" />"));
        Assert.Empty(Rules.References("Kvm", "<ProjectReference Include=\"../Apvirt.Ap/Apvirt.Ap.csproj\" />"));
        Assert.Single(Rules.Namespaces("src/Apvirt.Ap/Bus/A.cs", "namespace Apvirt.Ap;\n"));
        Assert.Single(Rules.LongFiles("a.cs", new string('\n', 451)));
        Assert.Single(Rules.UnfinishedMarks("a.cs", "throw new NotImplementedException();"));
        Assert.NotNull(_sample);
    }
}
