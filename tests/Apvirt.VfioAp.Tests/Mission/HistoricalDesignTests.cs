namespace Apvirt.VfioAp.Tests.Mission;

/// <summary>
/// Requirements of mission.md whose scenario needs something that is not built yet. Those of the other historical designs
/// are in the tests of Apvirt.Designs.
/// </summary>
public sealed class HistoricalDesignTests
{
    [Fact(Skip = "needs VFIO's group notifiers as a model")]
    public void M059_the_notifier_of_the_time()
    {
    }
}
