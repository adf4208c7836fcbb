using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;

namespace Apvirt.Kernel.Tests.Sharing;

public sealed class SharedTableTests
{
    private static readonly SharedField Field = new("example", "it is an example");

    private readonly SimulationRuntime _runtime = new();

    [Fact]
    public void What_has_a_number_is_found_and_walked_in_order_until_the_number_is_taken_back()
    {
        SharedTable<string> table = new("test", Field, size: 4);
        Assert.Null(table.Read(_runtime, 3));
        table.Write(_runtime, 3, "c");
        table.Write(_runtime, 0, "a");
        table.Write(_runtime, 2, "b");
        Assert.Equal("c", table.Read(_runtime, 3));
        Assert.Equal(["a", "b", "c"], table.Walk(_runtime));
        table.Write(_runtime, 2, null);
        Assert.Equal(["a", "c"], table.Walk(_runtime));
    }
}
