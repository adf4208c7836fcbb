using System.Reflection;

namespace Apvirt.Kernel.Tests.HouseRules;

/// <summary>This checkout keeps the rules.</summary>
public sealed class HouseRulesTests
{
    [Fact]
    public void Kernel_layers_use_no_ambient_time_randomness_or_threads() =>
        Kept(SourceTree.Sources(SourceTree.KernelLayers).SelectMany(s => Rules.Ambient(s.Path, s.Text)));

    [Fact]
    public void Nothing_static_can_change() =>
        Kept(SourceTree.KernelLayers.SelectMany(layer => StaticState.In(Assembly.Load($"Apvirt.{layer}").GetTypes())));

    [Theory]
    [MemberData(nameof(LayersOfForms))]
    public void Shared_state_has_four_forms(string layer) => Kept(SharedStateRule.Formless(TypesOf(layer)));

    [Theory]
    [MemberData(nameof(LayersOfForms))]
    public void Only_the_forms_synchronise(string layer) => Kept(SharedStateRule.Bypasses(TypesOf(layer)));

    [Theory]
    [MemberData(nameof(LayersOfForms))]
    public void A_shared_word_is_one_word(string layer) => Kept(SharedStateRule.TornWords(TypesOf(layer)));

    [Fact]
    public void Guests_have_shared_state_of_four_forms()
    {
        Type[] guests = [.. TypesOf("Host").Where(type => type.Namespace == "Apvirt.Host.Guests")];
        Kept([.. SharedStateRule.Formless(guests), .. SharedStateRule.Bypasses(guests), .. SharedStateRule.TornWords(guests), .. SharedStateRule.Undocumented(guests)]);
    }

    [Fact]
    public void Every_field_without_a_lock_is_in_a_table() =>
        Kept(SharedStateRule.Undocumented([.. SourceTree.LayersOfForms.SelectMany(TypesOf)]));

    [Fact]
    public void Layers_reference_downwards() =>
        Kept(SourceTree.Layers.SelectMany(layer =>
            Rules.References(layer, File.ReadAllText(Path.Combine(SourceTree.Root, "src", $"Apvirt.{layer}", $"Apvirt.{layer}.csproj")))));

    [Fact]
    public void Every_project_is_a_layer() =>
        Kept(Rules.UnknownLayers(
            from project in Directory.EnumerateFiles(Path.Combine(SourceTree.Root, "src"), "*.csproj", SearchOption.AllDirectories)
            select Path.GetFileNameWithoutExtension(project)));

    [Fact]
    public void A_folder_is_a_namespace() =>
        Kept(SourceTree.SourcesBelow("src").SelectMany(s => Rules.Namespaces(s.Path, s.Text)));

    [Theory]
    [InlineData("src")]
    [InlineData("tests")]
    [InlineData("benchmarks")]
    public void Files_are_short(string folder) =>
        Kept(SourceTree.SourcesBelow(folder).SelectMany(s => Rules.LongFiles(s.Path, s.Text)));

    [Fact]
    public void Nothing_is_left_unfinished() =>
        Kept(SourceTree.SourcesBelow("src").SelectMany(s => Rules.UnfinishedMarks(s.Path, s.Text)));

    [Fact]
    public void No_file_names_a_folder_of_this_machine()
    {
        IReadOnlyList<(string Path, string Text)>? tracked = SourceTree.TrackedTexts();
        if (tracked is null)
            Assert.Skip("not a git checkout");
        Assert.NotEmpty(tracked);
        string[] folders = [SourceTree.Root, Path.Combine("/", "work")];
        Kept(tracked.SelectMany(s => Rules.MachinePaths(s.Path, s.Text, folders)));
    }

    public static TheoryData<string> LayersOfForms() => [.. SourceTree.LayersOfForms];

    private static Type[] TypesOf(string layer) => Assembly.Load($"Apvirt.{layer}").GetTypes();

    private static void Kept(IEnumerable<string> broken)
    {
        string all = string.Join('\n', broken);
        if (all.Length > 0)
            Assert.Fail(all);
    }
}
